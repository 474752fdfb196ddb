"""CSV text before it is parsed: packing, encoding, delimiter, and the fields of every line."""

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from jaxtyping import Int64

from tasks.errors import DataError

DELIMITERS = (b",", b";", b"\t", b"|")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
QUOTE, NEWLINE = 34, 10
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
OTHER_FORMATS = (
    (b"\x1f\x8b", "gzip data", "name it .csv.gz"),
    (b"PAR1", "a parquet file", "name it .parquet"),
    (b"PK\x03\x04", "a zip archive or an xlsx workbook", "unpack it or export it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "export it as CSV"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the data with `git lfs pull`"),
    (b"<", "an HTML or XML page", "download the data file itself"),
    (b"{", "JSON", "export it as CSV"),
    (b"[", "JSON", "export it as CSV"),
    (b"%PDF", "a PDF", "export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it"),
    (b"BZh", "bzip2 data", "unpack it"),
    (b"\xfd7zXZ", "xz data", "unpack it"),
    (b"\x89HDF", "an HDF5 file", "export it as parquet"),
    (b"SQLite format 3", "an SQLite database", "export it as CSV"),
)


class EmptyTextError(DataError):
    """A CSV file without any content."""


@dataclass(frozen=True)
class Text:
    """A CSV file that is sound as text: UTF-8, one delimiter, as many fields on every line.

    `body` is what follows the header; `lines` holds the line number of each of its rows.
    """

    header: list[str]
    body: bytes
    lines: Int64[np.ndarray, " rows"]
    delimiter: str
    fixed: list[str]


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """The content of a file, unpacked when its name ends in .gz; all of it, or `limit` bytes.

    Raises:
        DataError: the name says gzip and the content does not, or the file is torn.
    """
    try:
        with _open(path) as file:
            return file.read(limit)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch or copy it again") from error


def _open(path: Path) -> BinaryIO:
    if not path.name.lower().endswith(".gz"):
        return path.open("rb")
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise DataError(f"{path}: named .gz but is not gzip data; rename it or fetch it again")
    return cast("BinaryIO", gzip.open(path, "rb"))


def read_text(path: Path) -> Text:
    """Reads and checks a CSV file, without looking at its values.

    Raises:
        DataError: empty, another format, damaged, not UTF-8, NUL bytes, no delimiter, no header,
            an open quote, or a line with too many or too few fields.
    """
    data = read_bytes(path)
    fixed = []
    if data.startswith(BYTE_ORDER_MARK):
        data = data[len(BYTE_ORDER_MARK) :]
        fixed.append(f"{path.name}: a UTF-8 byte-order mark was skipped")
    _check_content(path, data)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    top = data.lstrip(b"\n")
    skipped = len(data) - len(top)
    first, _, body = top.partition(b"\n")
    delimiter = _delimiter(path, first)
    if delimiter != b",":
        fixed.append(f"{path.name}: read with the delimiter {delimiter.decode()!r}")
    header = next(csv.reader(io.StringIO(first.decode()), delimiter=delimiter.decode()))
    lines = _check_lines(path, body, delimiter, len(header), skipped + 2)
    return Text(header, body, lines, delimiter.decode(), fixed)


def _check_content(path: Path, data: bytes) -> None:
    """Refuses what is no UTF-8 text, naming what it is."""
    if not data.strip():
        raise EmptyTextError(f"{path}: is empty; it must hold a header line and rows")
    if data.startswith(UTF16_MARKS):
        raise DataError(
            f"{path}: is UTF-16; it must be UTF-8: `iconv -f UTF-16 -t UTF-8 IN > OUT.csv`"
        )
    start = data[:64].lstrip().lower()
    for magic, name, remedy in OTHER_FORMATS:
        if start.startswith(magic.lower()) or data.startswith(magic):
            raise DataError(f"{path}: holds {name}, not CSV; {remedy}")
    nul = data.find(b"\0")
    if nul >= 0:
        raise DataError(
            f"{path}: byte {nul} is NUL; text must not hold NUL bytes (a torn copy, or UTF-16 "
            "without a mark); copy or export it again as UTF-8"
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} (0x{data[error.start]:02x}) is not UTF-8, perhaps "
            "Latin-1; convert it: `iconv -f LATIN1 -t UTF-8 IN > OUT.csv`"
        ) from None


def _delimiter(path: Path, header: bytes) -> bytes:
    """The candidate that occurs most in the header, outside quotes."""
    bare = b"".join(header.split(b'"')[::2])
    best = max(DELIMITERS, key=bare.count)
    if not bare.count(best):
        raise DataError(
            f"{path}, line 1: must name a time column and at least one more, separated by comma, "
            f"semicolon, tab or |; got {header[:80].decode(errors='replace')!r}"
        )
    return best


def _check_lines(
    path: Path, body: bytes, delimiter: bytes, fields: int, first_line: int
) -> Int64[np.ndarray, " rows"]:
    """Line numbers of the rows of `body`, each checked to have `fields` fields."""
    data = np.frombuffer(body, dtype=np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    if len(data) and data[-1] != NEWLINE:
        ends = np.append(ends, len(data))
    begins = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: len(ends)]
    marks = np.flatnonzero(data == delimiter[0])
    quotes = np.flatnonzero(data == QUOTE)
    if len(quotes):
        marks = _outside_quotes(path, marks, quotes, ends, first_line)
    counts = 1 + np.bincount(np.searchsorted(ends, marks), minlength=len(ends))
    filled = ends > begins
    wrong = np.flatnonzero(filled & (counts != fields))
    if len(wrong):
        line, got = int(wrong[0]), int(counts[wrong[0]])
        problem = "an extra field" if got > fields else "a missing field"
        raise DataError(
            f"{path}, line {line + first_line}: {problem}: the header has {fields} fields, this "
            f"line {got} (such lines: {len(wrong)}); correct or remove the line"
        )
    return np.flatnonzero(filled) + first_line


def _outside_quotes(
    path: Path,
    marks: Int64[np.ndarray, " marks"],
    quotes: Int64[np.ndarray, " quotes"],
    ends: Int64[np.ndarray, " lines"],
    first_line: int,
) -> Int64[np.ndarray, " outside"]:
    """The delimiters outside quotes; a quote must close on its own line."""
    per_line = np.bincount(np.searchsorted(ends, quotes), minlength=len(ends))
    odd = np.flatnonzero(per_line % 2)
    if len(odd):
        raise DataError(
            f"{path}, line {int(odd[0]) + first_line}: a quote is not closed on its line; close it"
        )
    outside: Int64[np.ndarray, " outside"] = marks[np.searchsorted(quotes, marks) % 2 == 0]
    return outside
