"""Collections: parquet files with one series per row, for pretraining."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.files import is_parquet, parquet_file, read_parquet
from tasks.data.frequency import parse_frequency
from tasks.data.grid import SourceSeries
from tasks.data.schema import MAX_FLOAT32, check_name
from tasks.data.table import Findings
from tasks.errors import DataError

COLUMNS = ("dataset", "item_id", "freq", "start", "target")
MIN_OBSERVED = 16


def read_collection(
    files: Sequence[Path], findings: Findings
) -> tuple[tuple[SourceSeries, ...], str | None, int]:
    """All series with at least 16 observed values, their common frequency if any, its season.

    Raises:
        DataError: a column is missing or of another type, inf, a doubled or unsafe name.
    """
    series: list[SourceSeries] = []
    frequencies: set[str | None] = set()
    places: dict[str, str] = {}
    for path in files:
        table = _read(path)
        frequencies |= set(pc.unique(table.column("freq")).to_pylist())
        groups, items = (table.column(name).to_pylist() for name in ("dataset", "item_id"))
        targets = _targets(path, table)
        for row, (group, item, values) in enumerate(zip(groups, items, targets, strict=True), 1):
            place = f"{path}, row {row}"
            name = f"{group}/{item}"
            check_name(name, place)
            if name in places:
                raise DataError(f"{place}: series {name!r} is also at {places[name]}; remove one")
            places[name] = place
            if np.count_nonzero(~np.isnan(values)) < MIN_OBSERVED:
                findings.dropped.append(name)
            else:
                series.append(SourceSeries(name, 0, values))
    if not series:
        raise DataError(
            f"{files[0].parent}: no series has {MIN_OBSERVED} observed values ({len(places)} "
            "series read); add longer ones"
        )
    if findings.dropped:
        findings.warnings.append(
            f"{len(findings.dropped)} series with fewer than {MIN_OBSERVED} values were dropped"
        )
    only = next(iter(frequencies)) if len(frequencies) == 1 else None
    return tuple(series), only, parse_frequency(only).season if only else 1


def _read(path: Path) -> pa.Table:
    if not is_parquet(path):
        raise DataError(f"{path}: a collection must be parquet with columns {', '.join(COLUMNS)}")
    names = parquet_file(path).schema_arrow.names
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{path}: a collection needs the columns {', '.join(COLUMNS)}; {missing[0]!r} is "
            "not there"
        )
    table = read_parquet(path, COLUMNS)
    target = table.schema.field("target").type
    is_list = pa.types.is_list(target) or pa.types.is_large_list(target)
    if not is_list or not (
        pa.types.is_floating(target.value_type) or pa.types.is_integer(target.value_type)
    ):
        raise DataError(f"{path}, column 'target': must hold lists of numbers; it holds {target}")
    for name in ("dataset", "item_id"):
        if table.column(name).null_count:
            raise DataError(f"{path}, column {name!r}: must not be blank; name every series")
    return table


def _targets(path: Path, table: pa.Table) -> list[np.ndarray]:
    """The values of each row as float64; null is missing."""
    found = []
    row = 0
    for chunk in table.column("target").chunks:
        flat = np.asarray(pc.fill_null(chunk.values.cast(pa.float64()), float("nan")))
        too_big = np.flatnonzero(np.abs(flat) > MAX_FLOAT32)
        ends = np.asarray(chunk.offsets)
        if len(too_big):
            at = int(np.searchsorted(ends, too_big[0], side="right"))
            raise DataError(
                f"{path}, row {row + at}, column 'target': values must be finite and fit float32; "
                f"got {flat[too_big[0]]}; correct it, or store NaN if missing"
            )
        found += [flat[ends[i] : ends[i + 1]] for i in range(len(chunk))]
        row += len(chunk)
    return found
