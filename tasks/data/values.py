"""Numbers, read strictly: what is not plainly a number is refused with its place."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64

from tasks.data.table import Table
from tasks.errors import DataError
from tasks.sections.data import Dataset

BLANKS = ["", "nan", "-nan", "na", "n/a", "#n/a", "<na>", "null", "none"]
PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
SHOWN_OFFENDERS = 3


def read_numbers(table: Table, name: str, dataset: Dataset) -> Float64[np.ndarray, " rows"]:
    """A value column; blank and NaN are missing.

    Raises:
        DataError: text, booleans, or numbers in another notation than the dataset's.
    """
    column = table.columns[name]
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _from_text(table, name, column, dataset)
    if pa.types.is_boolean(kind):
        raise DataError(
            f"{table.place(0)}, column {name!r}: booleans are not numbers; store 0 and 1, or name "
            "the other columns in `targets`"
        )
    if pa.types.is_null(kind):
        return np.full(len(table), np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DataError(
            f"{table.place(0)}, column {name!r}: must hold numbers; it holds {kind}; name the "
            "other columns in `targets`"
        )
    return _to_numpy(column.cast(pa.float64(), safe=False))


def _to_numpy(column: pa.ChunkedArray) -> Float64[np.ndarray, " rows"]:
    return np.asarray(pc.fill_null(column, float("nan")).to_numpy(), dtype=np.float64)


def _from_text(
    table: Table, name: str, column: pa.ChunkedArray, dataset: Dataset
) -> Float64[np.ndarray, " rows"]:
    if dataset.decimal == "." and dataset.thousands is None:
        try:
            return _to_numpy(pc.cast(column, pa.float64()))
        except pa.ArrowInvalid:
            pass  # blanks, other spellings or text: told apart below
    column = pc.utf8_trim_whitespace(column)
    blank = pc.is_in(pc.utf8_lower(column), value_set=pa.array(BLANKS))
    column = pc.if_else(blank, pa.scalar(None, pa.string()), column)
    text = _plain_notation(column, dataset)
    good = pc.match_substring_regex(text, PLAIN)
    finite_words = pc.match_substring_regex(text, r"^[+-]?inf(inity)?$", ignore_case=True)
    good = pc.fill_null(pc.or_(good, finite_words), True)
    bad = ~np.asarray(good.to_numpy(zero_copy_only=False), dtype=bool)
    if bad.any():
        raise _not_numbers(table, name, column, bad)
    return _to_numpy(pc.cast(text, pa.float64()))


def _plain_notation(column: pa.ChunkedArray, dataset: Dataset) -> pa.ChunkedArray:
    """Numbers with a decimal point and no grouping; what does not fit stays and is refused."""
    if dataset.thousands is not None:
        mark = "\\" + dataset.thousands
        decimal = "\\" + dataset.decimal
        grouped = pc.match_substring_regex(
            column, rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({decimal}\d*)?$"
        )
        column = pc.if_else(grouped, pc.replace_substring(column, dataset.thousands, ""), column)
    if dataset.decimal == ",":
        with_point = pc.match_substring(column, ".")
        swapped = pc.replace_substring(column, ",", ".", max_replacements=1)
        # a point is no decimal mark here: keep the text, with a comma, so that it is refused
        column = pc.if_else(with_point, pc.binary_join_element_wise(column, "", ","), swapped)
    return column


def _not_numbers(
    table: Table, name: str, column: pa.ChunkedArray, bad: Bool[np.ndarray, " rows"]
) -> DataError:
    rows = np.flatnonzero(bad)
    texts = [str(column[int(row)]) for row in rows[:SHOWN_OFFENDERS]]
    shown = ", ".join(repr(text[:40]) for text in texts)
    places = ", ".join(str(int(table.rows[row])) for row in rows[1:SHOWN_OFFENDERS])
    more = f" (also {places}; {len(rows)} in all)" if places else ""
    return DataError(
        f"{table.place(int(rows[0]))}{more}, column {name!r}: must be a number; got {shown}; "
        f"{_remedy(texts[0])}"
    )


def _remedy(text: str) -> str:
    if text.lower() in ("true", "false", "yes", "no"):
        return "store booleans as 0 and 1, or name the other columns in `targets`"
    compact = text.lstrip("+-")
    if compact and all(part.isdigit() for part in compact.replace(".", ",").split(",")):
        if "," in compact and "." in compact:
            american = compact.rindex(".") > compact.rindex(",")
            return "set `thousands: ','`" if american else "set `decimal: ','` and `thousands: '.'`"
        if "," in compact:
            return "set `decimal: ','` (or, if it groups digits, `thousands: ','`)"
        return "set `thousands: '.'` if the point groups digits"
    return "correct it, leave it blank if missing, or name the other columns in `targets`"
