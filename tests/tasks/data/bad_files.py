"""Makers of bad files for test_bad_inputs.py: each writes one file into a folder."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 200
START = datetime(2024, 1, 1)

Make = Callable[[Path], None]


def stamps(rows: int = ROWS, step: timedelta = timedelta(hours=1)) -> list[str]:
    return [str(START + i * step) for i in range(rows)]


def wide_rows(rows: int = ROWS, channels: int = 2) -> list[list[str]]:
    """Cells of a sound file: header, then hourly rows."""
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=(rows, channels)), 3)
    header = ["date", *"abcdefgh"[:channels]]
    return [header, *([t, *map(str, v)] for t, v in zip(stamps(rows), values, strict=True))]


def text_of(cells: list[list[str]], delimiter: str = ",") -> str:
    return "\n".join(delimiter.join(row) for row in cells) + "\n"


def content(data: str | bytes, name: str = "data.csv") -> Make:
    """A file with this content."""
    raw = data.encode() if isinstance(data, str) else data
    return lambda folder: _write(folder / name, raw)


def _write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def wide(change: Callable[[list[list[str]]], Any], **options: Any) -> Make:
    """A sound wide file after `change` altered its cells."""
    cells = wide_rows(**options)
    change(cells)
    return content(text_of(cells))


def cell(row: int, column: int, value: str) -> Make:
    def change(cells: list[list[str]]) -> None:
        cells[row][column] = value

    return wide(change)


def column(index: int, value: Callable[[str], str]) -> Make:
    def change(cells: list[list[str]]) -> None:
        for row in cells[1:]:
            row[index] = value(row[index])

    return wide(change)


def header(*names: str) -> Make:
    return wide(lambda cells: cells.__setitem__(0, list(names)))


def long_rows(series: dict[str, list[str]]) -> Make:
    """A long file with a random value at every time of every series."""
    rng = np.random.default_rng(1)
    rows = [[name, time, f"{rng.normal():.3f}"] for name, times in series.items() for time in times]
    return content(text_of([["unique_id", "ds", "y"], *rows]))


def local_hours(start: str, rows: int) -> Make:
    """Hours on the wall clock of Berlin, without their offset."""
    times = pd.date_range(start, periods=rows, freq="h", tz="Europe/Berlin").tz_localize(None)
    cells = [["date", "a"], *([str(t), str(i % 17)] for i, t in enumerate(times))]
    return content(text_of(cells))


def huge_csv(folder: Path) -> None:
    """A file of 40 GB that takes no room on the disk."""
    path = folder / "data.csv"
    path.write_text(text_of(wide_rows()))
    with path.open("r+b") as file:
        file.truncate(40 * 2**30)


def many_columns_csv(folder: Path) -> None:
    names = ",".join(f"c{i}" for i in range(100_000))
    (folder / "data.csv").write_text(f"date,{names}\n2024-01-01{',1' * 100_000}\n")


def many_columns_parquet(folder: Path) -> None:
    one = pa.array([1.0])
    pq.write_table(pa.table({f"c{i}": one for i in range(12_000)}), folder / "data.parquet")


def booleans_parquet(folder: Path) -> None:
    frame = pd.DataFrame({"date": pd.to_datetime(stamps()), "a": np.arange(ROWS) % 2 == 0})
    frame.to_parquet(folder / "data.parquet")


def stamped(times: list[str]) -> Make:
    def change(cells: list[list[str]]) -> None:
        for row, time in zip(cells[1:], times, strict=True):
            row[0] = time

    return wide(change)


def drop_rows(keep: Callable[[int], bool]) -> Make:
    def change(cells: list[list[str]]) -> None:
        cells[1:] = [row for i, row in enumerate(cells[1:]) if keep(i)]

    return wide(change)
