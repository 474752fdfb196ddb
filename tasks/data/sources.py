"""Reading a dataset's raw files into series on one clock: the front of the strict reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from tasks.data.collection import read_collection
from tasks.data.files import check_size, find_files, is_synthetic
from tasks.data.grid import SourceSeries, place_on_grid
from tasks.data.order import Reading, order_rows
from tasks.data.schema import check_name, check_values
from tasks.data.table import Findings, Table, read_table, require_column
from tasks.data.text import EmptyTextError
from tasks.data.times import read_times, to_utc
from tasks.data.values import read_numbers
from tasks.errors import DataError
from tasks.sections.data import Dataset

TIME_NAMES = ("date", "ds", "time", "datetime", "timestamp", "date_time", "period", "day")
LONG_NAMES = ("unique_id", "ds", "y")
MISSING_WARNING = 0.2


@dataclass(frozen=True)
class Source:
    """What a dataset's raw files hold, as read: unscaled series and what was met on the way."""

    files: list[str]
    kind: Literal["wide", "long", "collection"]
    series: tuple[SourceSeries, ...]
    rows: int  # of the clock that all series share; of a collection, of the longest series
    freq: str | None
    season: int
    first: str | None
    last: str | None
    is_synthetic: bool
    findings: Findings


def read_source(path: Path, dataset: Dataset, *, rows_needed: int) -> Source:
    """Reads and checks a folder of raw files, or one file.

    Args:
        path: data/raw/NAME/, or a file.
        dataset: how to read it.
        rows_needed: named in the message when there are none or almost none.

    Raises:
        DataError: the data cannot be accepted as they are; one line says what to do.
    """
    files = find_files(path)
    check_size(files)
    names = [one.name for one in files]
    findings = Findings()
    if dataset.kind == "collection":
        series, freq, season = read_collection(files, findings)
        rows = max(len(one.values) for one in series)
        return Source(
            names, "collection", series, rows, freq, dataset.season or season, None, None,
            is_synthetic(path), findings,
        )  # fmt: skip
    try:
        table = read_table(files, findings)
    except EmptyTextError as error:
        raise DataError(f"{error}, at least {rows_needed} of them") from None
    if len(table) < 2:
        raise DataError(
            f"{table.where}: has {len(table)} rows after the header; at least {rows_needed} are "
            "needed for the windows and the split; add rows"
        )
    columns = _columns(table, dataset)
    codes, ids = _identities(table, columns, dataset)
    frame = pd.DataFrame({one: read_numbers(table, one, dataset) for one in columns.values})
    check_values(frame, table)
    clock = read_times(table, columns.time, dataset)
    times = clock.times
    if dataset.time_zone is not None:
        times = to_utc(clock, dataset.time_zone, codes, where=table.where)
    elif clock.offsets > 1:
        findings.fixed.append(f"{clock.offsets} different UTC offsets were turned into UTC")
    zone_is_open = dataset.time_zone is None and not clock.is_aware
    reading = Reading(table, dataset, findings, zone_is_open)
    ordered = order_rows(reading, times, codes, frame.to_numpy())
    assert dataset.kind != "joined"  # its members are read instead
    grid = place_on_grid(reading, ordered, columns.values if dataset.kind == "wide" else ids)
    series = _observed(grid.series, table.where, findings)
    return Source(
        names, dataset.kind, series, grid.rows, grid.freq, dataset.season or grid.season,
        _shown(ordered.times.min()), _shown(ordered.times.max()), is_synthetic(path), findings,
    )  # fmt: skip


def _shown(time: np.datetime64) -> str:
    return str(pd.Timestamp(time))


@dataclass(frozen=True)
class Columns:
    """Which column is the time, which hold values, and which names the series (long)."""

    time: str
    values: list[str]
    identity: str | None


def _columns(table: Table, dataset: Dataset) -> Columns:
    if dataset.kind == "long":
        time = require_column(table, dataset.time_column or "ds", "time_column")
        identity = require_column(table, "unique_id", "of `kind: long`")
        if dataset.targets is not None and len(dataset.targets) != 1:
            raise DataError(
                f"{table.where}: `targets` of `kind: long` must name one column; got "
                f"{dataset.targets}"
            )
        value = require_column(table, (dataset.targets or ["y"])[0], "targets")
        return Columns(time, [value], identity)
    time = require_column(table, dataset.time_column or _guess_time(table), "time_column")
    others = [name for name in table.columns if name != time]
    values = [require_column(table, name, "targets") for name in dataset.targets or others]
    if len(set(values)) < len(values) or time in values:
        raise DataError(f"{table.where}: `targets` must name different value columns; got {values}")
    if not values:
        raise DataError(
            f"{table.where}: has no column besides the time {time!r}; add a value column"
        )
    for name in values:
        check_name(name, f"{table.where}, column name")
    return Columns(time, values, None)


def _guess_time(table: Table) -> str:
    """The first column with a usual name for time, or the first of a time type."""
    for name in table.columns:
        if name.casefold() in TIME_NAMES:
            return name
    for name, column in table.columns.items():
        if pa.types.is_temporal(column.type):
            return name
    names = ", ".join(list(table.columns)[:8])
    if set(LONG_NAMES) & set(table.columns):
        names += "; for unique_id, ds, y set `kind: long`"
    raise DataError(
        f"{table.where}: which column is the time? set `time_column` to one of: {names}"
    )


def _identities(
    table: Table, columns: Columns, dataset: Dataset
) -> tuple[Int64[np.ndarray, " rows"], list[str]]:
    """The series of each row as a number, and the names of the series; wide data have one."""
    if columns.identity is None:
        if dataset.kind == "wide" and set(LONG_NAMES) <= set(table.columns):
            raise DataError(f"{table.where}: has the columns unique_id, ds, y; set `kind: long`")
        return np.zeros(len(table), dtype=np.int64), []
    column = table.columns[columns.identity].cast(pa.string())
    blank = np.asarray(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True))
    if blank.any():
        raise DataError(
            f"{table.place(int(np.argmax(blank)))}, column {columns.identity!r}: the id is blank; "
            "name the series"
        )
    coded = pc.dictionary_encode(pc.utf8_trim_whitespace(column)).combine_chunks()
    coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
    codes = coded.indices.to_numpy().astype(np.int64)
    ids = coded.dictionary.to_pylist()
    _, first_rows = np.unique(codes, return_index=True)
    for name, row in zip(ids, first_rows, strict=True):
        check_name(name, f"{table.place(int(row))}, column {columns.identity!r}")
    return codes, ids


def _observed(
    series: Sequence[SourceSeries], where: str, findings: Findings
) -> tuple[SourceSeries, ...]:
    """The series with at least one value; the others are dropped and named."""
    kept = tuple(one for one in series if np.isfinite(one.values).any())
    gone = [one.name for one in series if not np.isfinite(one.values).any()]
    if not kept:
        raise DataError(f"{where}: every value is missing; give data with observed values")
    if gone:
        findings.dropped += gone
        findings.warnings.append(f"{len(gone)} series without any value were dropped")
    points = sum(len(one.values) for one in kept)
    missing = sum(int(np.isnan(one.values).sum()) for one in kept) / points
    if missing > MISSING_WARNING:
        findings.warnings.append(f"{missing:.0%} of the values are missing")
    return kept
