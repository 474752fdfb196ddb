"""Rows in the order of time, each of them once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from tasks.data.table import Findings, Table
from tasks.data.times import Times
from tasks.errors import DataError
from tasks.sections.data import Dataset


@dataclass(frozen=True)
class Reading:
    """What the steps of reading share: the raw rows, how to read them, and what was met."""

    table: Table
    dataset: Dataset
    findings: Findings
    zone_is_open: bool  # times without offset, and no time zone named


@dataclass(frozen=True)
class Rows:
    """Rows sorted by series and time; `bounds[s]:bounds[s + 1]` are the rows of series s."""

    times: Times
    values: Float64[np.ndarray, "rows columns"]
    bounds: Int64[np.ndarray, " series+1"]


def order_rows(
    reading: Reading,
    times: Times,
    codes: Int64[np.ndarray, " rows"],
    values: Float64[np.ndarray, "rows columns"],
) -> Rows:
    """Sorts by series and time and drops rows that occur twice.

    Raises:
        DataError: two rows of one series and time differ (unless rows are kept as they are).
    """
    findings = reading.findings
    step_back = (np.diff(times) < np.timedelta64(0, "us")) & (np.diff(codes) == 0)
    order = np.lexsort((times, codes))  # stable
    if step_back.any():
        count = int(step_back.sum())
        findings.fixed.append(f"rows were sorted by time ({count} stood out of order)")
    times, codes, values = times[order], codes[order], values[order]
    same = (np.diff(times) == np.timedelta64(0, "us")) & (np.diff(codes) == 0)
    if same.any():
        if reading.dataset.irregular == "as_rows":
            findings.warnings.append(f"{int(same.sum())} repeated time stamps were kept as rows")
        else:
            _check_equal(reading, order, times, values, np.flatnonzero(same) + 1)
            keep = np.concatenate([[True], ~same])
            findings.duplicates = int((~keep).sum())
            findings.warnings.append(f"{findings.duplicates} repeated identical rows were dropped")
            times, codes, values = times[keep], codes[keep], values[keep]
    bounds = np.searchsorted(codes, np.arange(int(codes[-1]) + 2))
    return Rows(times, values, bounds)


def _check_equal(
    reading: Reading,
    order: Int64[np.ndarray, " rows"],
    times: Times,
    values: Float64[np.ndarray, "rows columns"],
    second: Int64[np.ndarray, " repeated"],
) -> None:
    """Refuses sorted rows whose values differ from those of the row before them."""
    before, after = values[second - 1], values[second]
    equal = ((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=1)
    if equal.all():
        return
    row = int(second[np.argmin(equal)])
    first, last = sorted((int(order[row - 1]), int(order[row])))
    zone = "; if clocks go back there, set `time_zone`" if reading.zone_is_open else ""
    raise DataError(
        f"{reading.table.place(last)}: the time {times[row]} is there twice with different "
        f"values (also {reading.table.place(first)}; {int((~equal).sum())} such rows); keep one of "
        f"them{zone}"
    )
