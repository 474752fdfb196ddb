"""The table of healing options: each against plain healing on the same cells."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from scipy import stats

from tasks.artifacts.files import write_csv

KEY = ["dataset", "num_kept", "mask", "seed", "steps", "option"]
COLUMNS = [
    *KEY, "keep", "valid_mse", "best_step", "seconds", "full_valid_mse", "unhealed_valid_mse",
    "mark",
]  # fmt: skip
CELL = ["dataset", "num_kept", "mask", "seed"]
BASE = "plain"
LEVEL = 0.95


def read_rows(path: Path) -> pd.DataFrame:
    """All rows measured so far; an empty frame where there are none."""
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path, dtype={"keep": str})


def add_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Adds rows, in place of older ones with the same key; several processes may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        new, old = pd.DataFrame(rows, columns=COLUMNS), read_rows(path)
        frame = pd.concat([old, new] if len(old) else [new])
        write_csv(path, frame.drop_duplicates(KEY, keep="last").sort_values(KEY))


def marks_of_cell(rows: pd.DataFrame, cell: Mapping[str, object]) -> dict[str, str]:
    """What is measured of a cell: the mark of every option that has a row."""
    for name, value in cell.items():
        rows = rows[rows[name] == value]
    return dict(zip(rows["option"], rows["mark"], strict=True))


def relative_to_plain(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """value / value of plain in the same cell, one column per option, one row per cell."""
    wide = rows.pivot_table(index=CELL, columns="option", values=value)
    return wide.div(wide[BASE], axis=0).dropna(subset=[BASE])


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval by Student's t; NaN ends for a single value."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.sem(array) * stats.t.ppf(0.5 + LEVEL / 2, len(array) - 1))
    return mean, mean - half, mean + half


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per option: its validation error against plain healing, the best option first.

    `all` and every number of blocks: mean of error / plain error - 1 over dataset x seed (for
    `all` the sizes of one dataset and seed are averaged first, so that they count once), with the
    ends of its 95 % interval; `better`: share of cells below plain; `time`: median ratio of
    seconds. Lower is better.
    """
    errors = relative_to_plain(rows, "valid_mse") - 1
    seconds = relative_to_plain(rows, "seconds").median()
    sizes = sorted(errors.index.get_level_values("num_kept").unique())
    found = []
    for option in errors.columns:
        cells = errors[option].dropna()
        groups = {"all": cells.groupby(["dataset", "seed"]).mean()}
        groups |= {
            f"{size} blocks": cells.xs(size, level="num_kept").groupby(["dataset", "seed"]).mean()
            for size in sizes
            if size in cells.index.get_level_values("num_kept")
        }
        one: dict[str, object] = {"option": option, "cells": len(cells)}
        one |= {name: interval(group.to_numpy()) for name, group in groups.items()}
        one |= {"better": float((cells < 0).mean()), "time": float(seconds[option])}
        found.append(one)
    return pd.DataFrame(found).sort_values("all", ignore_index=True)


def lean(rows: pd.DataFrame, options: Sequence[str]) -> float:
    """What a mask loses on average when it is healed by the option that was best for another one.

    The null panel is healed so: every mask of one dataset and size by the best of these options
    for that of another seed, its error over that of its own best, minus 1.
    """
    wide = rows.pivot_table(index=CELL, columns="option", values="valid_mse")[list(options)]
    losses = []
    for _, cells in wide.groupby(["dataset", "num_kept"]):
        for chosen, other in permutations(range(len(cells)), 2):
            best = str(cells.iloc[chosen].idxmin())
            losses.append(cells.iloc[other][best] / cells.iloc[other].min() - 1)
    return float(np.mean(losses))


def as_text(table: pd.DataFrame) -> str:
    """The comparison as a Markdown table."""
    shares = [c for c in table.columns if c == "all" or c.endswith(" blocks")]
    lines = [
        f"| option | {' | '.join(shares)} | better in | time / plain |",
        f"|---|{'---|' * (len(shares) + 2)}",
    ]
    for row in table.to_dict("records"):
        cells = [_percent(row[share]) for share in shares]
        lines.append(
            f"| {row['option']} | {' | '.join(cells)} | {row['better']:.0%} of {row['cells']} | "
            f"{row['time']:.2f} |"
        )
    return "\n".join(lines)


def _percent(value: object) -> str:
    if not isinstance(value, tuple):
        return ""
    mean, low, high = (100 * part for part in value)
    return f"{mean:+.2f} % ({low:+.2f} to {high:+.2f})"
