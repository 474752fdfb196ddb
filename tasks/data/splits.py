"""Chronological splits of the rows of a dataset."""

import math
from dataclasses import dataclass

from tasks.errors import DataError
from tasks.sections.data import Split, Windows


@dataclass(frozen=True)
class Bounds:
    """Rows [0, train) train, [train, valid) validate, [valid, end) test."""

    train: int
    valid: int
    end: int


def split_rows(rows: int, split: Split) -> Bounds:
    """Where the ranges end, for a dataset of so many rows.

    Shares follow the Time-Series-Library's convention: train and test are cut to whole rows,
    validation takes the rest. Row counts use the first rows only.

    Raises:
        DataError: row counts that exceed the data.
    """
    if split.is_rows:
        train, valid, test = int(split.train), int(split.validation), int(split.test)
        if train + valid + test > rows:
            raise DataError(
                f"split asks for {train} + {valid} + {test} rows, the data have {rows}; lower the "
                "counts, or give shares such as 0.7, 0.1, 0.2"
            )
        return Bounds(train, train + valid, train + valid + test)
    train, test = int(rows * split.train), int(rows * split.test)
    return Bounds(train, rows - test, rows)


def rows_needed(split: Split, windows: Windows) -> int:
    """The fewest rows from which on every range of the split holds a window."""
    context, horizon = windows.context, windows.horizon
    if split.is_rows:
        return int(split.train) + int(split.validation) + int(split.test)
    rows = 2 + max(
        math.ceil((context + horizon) / split.train),
        math.ceil(horizon / split.validation),
        math.ceil(horizon / split.test),
    )
    while _fits(split_rows(rows - 1, split), context, horizon):
        rows -= 1
    return rows


def _fits(bounds: Bounds, context: int, horizon: int) -> bool:
    return (
        bounds.train >= context + horizon
        and bounds.valid - bounds.train >= horizon
        and bounds.end - bounds.valid >= horizon
    )


def check_fits(bounds: Bounds, split: Split, windows: Windows, where: str) -> None:
    """Checks that every range holds a window.

    Raises:
        DataError: names the ranges, the windows and the rows needed.
    """
    if _fits(bounds, windows.context, windows.horizon):
        return
    sizes = f"{bounds.train} / {bounds.valid - bounds.train} / {bounds.end - bounds.valid}"
    remedy = (
        "give larger row counts"
        if split.is_rows
        else f"at least {rows_needed(split, windows)} rows are needed"
    )
    raise DataError(
        f"{where}: too short: train needs windows.context + windows.horizon = {windows.context} + "
        f"{windows.horizon} rows, validation and test {windows.horizon} each; {bounds.end} rows "
        f"split into {sizes}; {remedy}, or lower windows.context and windows.horizon"
    )
