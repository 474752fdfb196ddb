"""The one schema of data frames, of the pipeline and of `fewlayers check`."""

import re

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from tasks.data.table import Table
from tasks.errors import DataError

MAX_FLOAT32 = float(np.finfo(np.float32).max)
MAX_NAME_LENGTH = 200
NAME = re.compile(r"[\w(\ufffd][\w .()/*%°²³µμ,:#+\[\]'\ufffd-]*")

NOT_INFINITE = pa.Check(
    lambda values: ~np.isinf(values),
    name="must be finite; correct the value, or leave it blank if missing",
)
IN_FLOAT32 = pa.Check(
    lambda values: ~(np.abs(values) > MAX_FLOAT32),
    name=f"must fit float32 (at most {MAX_FLOAT32:.3g}); rescale the column",
)


def value_column() -> pa.Column:
    """A float64 column without infinities and within float32; NaN is missing."""
    return pa.Column("float64", checks=[NOT_INFINITE, IN_FLOAT32], nullable=True)


def check_values(frame: pd.DataFrame, table: Table) -> None:
    """Checks every value column of a frame whose index counts the rows of `table`.

    Raises:
        DataError: names file, line, column, value and rule of the first offender.
    """
    schema = pa.DataFrameSchema(dict.fromkeys(map(str, frame.columns), value_column()), strict=True)
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.sort_values("index", kind="stable").iloc[0]
        count = error.failure_cases[["index", "column"]].drop_duplicates().shape[0]
        raise DataError(
            f"{table.place(int(first['index']))}, column {first['column']!r}: {first['check']}; "
            f"got {first['failure_case']} ({count} such values)"
        ) from None


def check_name(name: str, where: str) -> None:
    """Checks the name of a channel or series against the whitelist.

    Letters, digits and common signs of units are in it; path traversal, shell characters,
    formulas and markup are not.

    Raises:
        DataError: the name, and where it was found.
    """
    path_like = ".." in name or "//" in name
    if len(name) > MAX_NAME_LENGTH or path_like or not NAME.fullmatch(name):
        raise DataError(
            f"{where}: {name[:60]!r} is not a safe name; use letters, digits, spaces and "
            f"_ - . / ( ) % up to {MAX_NAME_LENGTH} characters, starting with a letter or digit"
        )
