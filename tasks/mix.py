"""Stage `mix`: prepared datasets -> the manifest of a mix, which holds them by hash."""

import logging
from pathlib import Path

from tasks.data.mixes import make_manifest
from tasks.errors import ParamsError
from tasks.runtime import load_selected, run_stage, stage_parser

log = logging.getLogger(__name__)


def main(argv: list[str]) -> None:
    """Reads data/prepared/MEMBER/history/ of every member, writes data/mixes/MIX.json."""
    parser = stage_parser(
        "tasks.mix", "Joins prepared datasets into data/mixes/MIX.json.", selects=("mix",)
    )
    name = parser.parse_args(argv).mix
    mixes = load_selected().mixes
    if name not in mixes:
        known = ", ".join(mixes) or "none"
        raise ParamsError(f"params.yaml has no mix named {name!r}; it has: {known}")
    manifest = make_manifest(name, mixes[name].members, Path())
    manifest.write(Path("data/mixes") / f"{name}.json")
    series = sum(member.num_series for member in manifest.members)
    points = sum(member.num_points for member in manifest.members)
    log.info(
        "mix %s: %d members, %d series, %d points", name, len(manifest.members), series, points
    )


if __name__ == "__main__":
    run_stage(main)
