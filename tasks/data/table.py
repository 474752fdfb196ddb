"""Raw tables: columns as they were stored, with the place in a file that each row came from."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from jaxtyping import Int64

from tasks.data.files import is_parquet, read_parquet
from tasks.data.text import read_text
from tasks.errors import DataError


@dataclass
class Findings:
    """What reading a dataset met: repairs, warnings and counts, in the words of the report."""

    fixed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    gaps: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Table:
    """Columns of text (CSV) or of stored types (parquet), rows of all files one after the other."""

    files: list[Path]
    columns: dict[str, pa.ChunkedArray]
    file_index: Int64[np.ndarray, " rows"]
    rows: Int64[np.ndarray, " rows"]  # line numbers (CSV) or row numbers (parquet), from 1

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """Where a row stands, for messages: file and line."""
        path = self.files[int(self.file_index[row])]
        return f"{path}, {'row' if is_parquet(path) else 'line'} {int(self.rows[row])}"

    @property
    def where(self) -> str:
        """The file or files, for messages about columns."""
        return str(self.files[0]) if len(self.files) == 1 else f"{self.files[0].parent}"


def read_table(files: Sequence[Path], findings: Findings) -> Table:
    """All files as one table; their columns must be the same.

    Raises:
        DataError: a file is not sound, or columns are doubled or differ between files.
    """
    parts = [
        _read_parquet(path) if is_parquet(path) else _read_csv(path, findings) for path in files
    ]
    names = list(parts[0].columns)
    for path, part in zip(files, parts, strict=True):
        if set(part.columns) != set(names):
            odd = sorted(set(part.columns) ^ set(names))[0]
            raise DataError(
                f"{path}: its columns must be those of {files[0]}; {odd!r} is in one of them only; "
                "give files with other columns a dataset of their own"
            )
    if len(parts) == 1:
        return parts[0]
    try:
        columns = {
            name: pa.chunked_array([c for part in parts for c in part.columns[name].chunks])
            for name in names
        }
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{files[0].parent}: a column has different types in the files ({error}); store them "
            "alike"
        ) from error
    index = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Table(list(files), columns, index, np.concatenate([part.rows for part in parts]))


def _read_csv(path: Path, findings: Findings) -> Table:
    text = read_text(path)
    findings.fixed += text.fixed
    names = _check_names(path, text.header, findings)
    slots = [str(i) for i in range(len(names))]
    if len(text.lines):
        try:
            table = pacsv.read_csv(
                pa.BufferReader(text.body),
                read_options=pacsv.ReadOptions(column_names=slots, use_threads=False),
                parse_options=pacsv.ParseOptions(delimiter=text.delimiter),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(slots, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowException as error:
            reason = " ".join(str(error).split())[:160]
            raise DataError(f"{path}: not readable as CSV ({reason}); correct the file") from error
    else:
        table = pa.table({slot: pa.array([], pa.string()) for slot in slots})
    columns = {name: table.column(slot) for name, slot in zip(names, slots, strict=True)}
    return Table([path], columns, np.zeros(len(text.lines), dtype=np.int64), text.lines)


def _read_parquet(path: Path) -> Table:
    table = read_parquet(path)
    names = _check_names(path, table.column_names, Findings())
    columns = {name: table.column(i) for i, name in enumerate(names)}
    rows = np.arange(1, table.num_rows + 1)
    return Table([path], columns, np.zeros(table.num_rows, dtype=np.int64), rows)


def _check_names(path: Path, raw: Sequence[str], findings: Findings) -> list[str]:
    """The column names without padding; each must be there once."""
    names = [name.strip() for name in raw]
    padded = [name for name, old in zip(names, raw, strict=True) if name != old]
    if padded:
        findings.fixed.append(f"{path.name}: spaces around {len(padded)} column names were removed")
    if "" in names:
        raise DataError(
            f"{path}, line 1: column {names.index('') + 1} has no name; name it, or leave it out"
        )
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{path}, line 1: column names must differ; {name!r} is there {times} times; rename one"
        )
    return names


def require_column(table: Table, name: str, setting: str) -> str:
    """`name` when the table has it.

    Raises:
        DataError: it has not; names the nearest match.
    """
    if name in table.columns:
        return name
    near = difflib.get_close_matches(name, list(table.columns), n=1, cutoff=0.5)
    shown = ", ".join(list(table.columns)[:8])
    hint = f"did you mean {near[0]!r}?" if near else f"columns: {shown}"
    raise DataError(f"{table.where}: there is no column {name!r} ({setting}); {hint}")
