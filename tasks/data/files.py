"""The raw files of a dataset: which there are, and how much memory reading them would take."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.text import DELIMITERS, read_bytes
from tasks.errors import DataError

MAX_VALUES = 500_000_000
MAX_COLUMNS = 10_000
SAMPLE_BYTES = 2**20
BYTES_PER_VALUE = 32  # text offsets, float64, its sorted copy, the scaled float32
MEMORY_SHARE = 0.6
SYNTHETIC_MARKER = "SYNTHETIC"

SUFFIXES = (".csv", ".csv.gz", ".parquet")
COMPANIONS = ("README", "LICENSE", SYNTHETIC_MARKER)


def find_files(path: Path) -> list[Path]:
    """The data files of a folder by name, or the one file given.

    Files that DVC and git put there, hidden files, README, LICENSE and the marker of generated
    data are passed over.

    Raises:
        DataError: nothing there, or a file of another kind.
    """
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(one for one in path.iterdir() if not _is_companion(one))
    else:
        raise DataError(
            f"{path}: not found; `fewlayers add-data` or `dvc pull` puts the raw files there"
        )
    for one in files:
        if not one.is_file() or not one.name.lower().endswith(SUFFIXES):
            raise DataError(
                f"{one}: a data file must be named {', '.join(SUFFIXES)}; rename or remove it"
            )
    if not files:
        raise DataError(f"{path}: holds no data file; put a {', '.join(SUFFIXES)} file there")
    return files


def _is_companion(path: Path) -> bool:
    name = path.name
    return name.startswith((".", *COMPANIONS)) or path.suffix == ".dvc"


def is_parquet(path: Path) -> bool:
    """True for a file named .parquet."""
    return path.name.lower().endswith(".parquet")


def is_synthetic(path: Path) -> bool:
    """True when the generator's marker lies in the folder."""
    return path.is_dir() and (path / SYNTHETIC_MARKER).is_file()


@dataclass(frozen=True)
class Size:
    """What is in a file, estimated from its footer (parquet) or its first lines (CSV)."""

    columns: int
    values: int
    text_bytes: int  # unpacked

    @property
    def memory_bytes(self) -> int:
        """Peak memory of reading it."""
        return 2 * self.text_bytes + BYTES_PER_VALUE * self.values


def check_size(files: Sequence[Path]) -> None:
    """Refuses, before reading, what would not fit.

    Raises:
        DataError: too many columns or values, or more memory needed than there is.
    """
    values = needed = 0
    for path in files:
        size = estimate_size(path)
        if size.columns > MAX_COLUMNS:
            raise DataError(
                f"{path}: has {size.columns} columns, at most {MAX_COLUMNS} are read; store it "
                "as `kind: long` (unique_id, ds, y), or split it into several datasets"
            )
        values += size.values
        needed += size.memory_bytes
    usable = int(psutil.virtual_memory().available * MEMORY_SHARE)
    if values > MAX_VALUES or needed > usable:
        raise DataError(
            f"{files[0]}: about {values:.2g} values would take {needed / 2**30:.1f} GiB of memory; "
            f"at most {MAX_VALUES:.2g} values and {usable / 2**30:.1f} GiB are read at once; keep "
            "fewer rows or columns, aggregate to a coarser frequency, or split the dataset"
        )


def estimate_size(path: Path) -> Size:
    """Columns, values and unpacked bytes of one file without reading it whole."""
    if is_parquet(path):
        meta = parquet_file(path).metadata
        if meta.num_columns > MAX_COLUMNS:
            return Size(meta.num_columns, meta.num_columns * meta.num_rows, 0)
        groups = (meta.row_group(i) for i in range(meta.num_row_groups))
        values = sum(one.column(j).num_values for one in groups for j in range(meta.num_columns))
        return Size(meta.num_columns, values, 0)
    sample = read_bytes(path, SAMPLE_BYTES)
    total = _unpacked_bytes(path) if path.name.lower().endswith(".gz") else path.stat().st_size
    total = max(total, len(sample))
    lines = sample.split(b"\n")
    columns = 1 + max(lines[0].count(delimiter) for delimiter in DELIMITERS)
    body = [len(line) + 1 for line in itertools.islice(lines, 1, 1000) if line.strip(b"\r\0")]
    line_bytes = sum(body) / len(body) if body else len(sample) + 1
    return Size(columns, int(columns * total / line_bytes), total)


def _unpacked_bytes(path: Path) -> int:
    """The unpacked size in a gzip trailer, which counts modulo 4 GiB."""
    packed = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, packed - 4))
        trailer = int.from_bytes(file.read(4), "little")
    return trailer if trailer >= packed else trailer + 2**32


def parquet_file(path: Path) -> pq.ParquetFile:
    """The opened parquet file. Raises DataError when it is none."""
    try:
        file = pq.ParquetFile(path)
        file.schema_arrow  # noqa: B018 - decodes the names, which fails where they are damaged
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a parquet file ({reason}); export it again") from error
    return file


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All columns of a parquet file, or the named ones. Raises DataError when it is damaged."""
    file = parquet_file(path)
    try:
        return file.read(columns=None if columns is None else list(columns), use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: damaged ({reason}); fetch or export it again") from error
