"""`make bench`: measures every bar and writes reports/bench.json.

Run it with nothing else running; ratios are measured in one run, each side in turn. Groups of rows
are measured one after the other and written as soon as they stand, so that a stopped run loses the
group at work; `make bench ARGS="racing search"` measures these anew and keeps the others.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.artifacts.files import read_json, write_text
from tasks.measure import machine_label
from tests.bench.rows import GROUPS, Row

RESULTS = "reports/bench.json"


def measure(
    project: Path,
    names: Sequence[str],
    groups: Mapping[str, Callable[[Path], list[Row]]],
    machine: str,
) -> list[Row]:
    """Measures groups, writes reports/bench.json after each, and returns all of its rows.

    Rows of other groups are kept where they are of the same machine.

    Args:
        project: the folder with params.yaml.
        names: of the groups to measure.
        groups: by name, in the order of the file.
        machine: where this runs.
    """
    path = project / RESULTS
    found, rows = _kept(path, machine), list[Row]()
    for name in names:
        found[name] = groups[name](project)
        rows = [row | {"group": one} for one in groups for row in found.get(one, [])]
        write_text(path, json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    return rows


def _kept(path: Path, machine: str) -> dict[str, list[Row]]:
    content: Any = read_json(path) if path.is_file() else {}
    kept: dict[str, list[Row]] = {}
    for row in content.get("rows", []) if content.get("machine") == machine else []:
        kept.setdefault(str(row.get("group")), []).append(row)
    return kept


def holds(entry: Row) -> bool:
    """Whether a row meets its bar."""
    value, bar = float(entry["value"] or 0), float(entry["bar"] or 0)
    return value <= bar if entry["better"] == "lower" else value >= bar


def main() -> None:
    """Measures what is named, or everything."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measures the bars of speed and error, group by group."
    )
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)} (default: all)"
    )
    names = parser.parse_args().groups or list(GROUPS)
    if unknown := [name for name in names if name not in GROUPS]:
        parser.error(f"there is no group {unknown[0]!r}; groups: {', '.join(GROUPS)}")
    rows = measure(Path.cwd(), names, GROUPS, machine_label(torch.device("cpu")))
    missed = [str(row["name"]) for row in rows if row["bar"] is not None and not holds(row)]
    print(f"{len(rows)} rows in {RESULTS}; missed: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
