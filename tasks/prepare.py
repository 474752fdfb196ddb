"""Stage `prepare`: raw files of a dataset or a corpus -> scaled, split series and a profile.

The test range goes to a folder of its own, which only `evaluate` reads.
"""

import logging
import shutil
from pathlib import Path

from tasks.data.prepared import prepare_dataset
from tasks.runtime import load_selected, run_stage, stage_parser

log = logging.getLogger(__name__)


def main(argv: list[str]) -> None:
    """Reads data/raw/DATASET/, writes data/prepared/DATASET/ and data/test/DATASET/."""
    parser = stage_parser(
        "tasks.prepare",
        "Checks, splits and scales data/raw/DATASET/ into data/prepared/DATASET/.",
        selects=("dataset",),
    )
    name = parser.parse_args(argv).dataset
    params = load_selected(datasets=[name])
    raw, folder = Path("data/raw") / name, Path("data/prepared") / name
    prepared = prepare_dataset(raw, name, params.datasets[name], params.windows)

    parts = ((folder / "history", prepared.history), (Path("data/test") / name, prepared.test))
    for part, data in parts:
        shutil.rmtree(part, ignore_errors=True)
        if data is not None:
            data.save(part)
    profile = prepared.profile
    profile.write(folder / "profile.json")
    for line in profile.fixed:
        log.info("fixed: %s", line)
    for line in profile.warnings:
        log.warning("warning: %s", line)
    log.info(
        "prepared %s: %d series, %d rows (%d train, %d validation, %d test), %.2g %% missing",
        name,
        profile.num_series,
        profile.rows,
        profile.train_rows,
        profile.valid_rows,
        profile.test_rows,
        100 * profile.missing_share,
    )


if __name__ == "__main__":
    run_stage(main)
