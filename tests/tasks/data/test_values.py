from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.table import Table
from tasks.data.values import read_numbers
from tasks.errors import DataError
from tasks.sections.data import Dataset


def read(column: pa.Array, **settings: str) -> np.ndarray:
    rows = np.arange(1, len(column) + 1)
    columns = {"a": pa.chunked_array([column])}
    table = Table([Path("raw/x.csv")], columns, np.zeros(len(column), dtype=np.int64), rows)
    return read_numbers(table, "a", Dataset.model_validate(settings))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_as_python_writes_them_are_read_exactly(numbers: list[float]) -> None:
    assert read(pa.array([repr(one) for one in numbers])).tolist() == numbers


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1))
def test_grouped_digits_are_read_when_the_mark_is_named(numbers: list[int]) -> None:
    assert read(pa.array([f"{one:,}" for one in numbers]), thousands=",").tolist() == numbers


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("+1.5", {}, 1.5),
        (" 1.5 ", {}, 1.5),
        (".5", {}, 0.5),
        ("5.", {}, 5.0),
        ("1E-3", {}, 1e-3),
        ("1,5", {"decimal": ","}, 1.5),
        ("1.234,5", {"decimal": ",", "thousands": "."}, 1234.5),
        ("1 234.5", {"thousands": " "}, 1234.5),
        ("1'234'567", {"thousands": "'"}, 1234567.0),
        ("-1,234", {"thousands": ","}, -1234.0),
        ("007", {}, 7.0),
    ],
)
def test_notations_are_read(text: str, settings: dict[str, str], expected: float) -> None:
    assert read(pa.array([text]), **settings).tolist() == [expected]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("1_000", {}), ("0x10", {}), ("1,234", {}), ("1.2.3", {}), ("1 234", {}), ("12%", {}),
        ("1.5", {"decimal": ","}), ("12,34", {"thousands": ","}), ("1,2345", {"thousands": ","}),
        ("1,5,5", {"decimal": ","}), ("--1", {}), ("e5", {}), ("1e", {}), ("yes", {}),
    ],
)  # fmt: skip
def test_other_notations_are_refused(text: str, settings: dict[str, str]) -> None:
    with pytest.raises(DataError, match="line 1, column 'a': must be a number; got"):
        read(pa.array([text]), **settings)


@pytest.mark.parametrize("blank", ["", "  ", "NaN", "nan", "NA", "n/a", "#N/A", "null", "None"])
def test_blanks_are_missing(blank: str) -> None:
    values = read(pa.array(["1", blank]))
    assert values[0] == 1
    assert np.isnan(values[1])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None], pa.int64()),
        pa.array([1.0, float("nan")], pa.float32()),
        pa.array(["1", None]).dictionary_encode(),
        pa.array(["1.00", None]).cast(pa.decimal128(5, 2)),
    ],
)
def test_stored_numbers_are_read(column: pa.Array) -> None:
    np.testing.assert_array_equal(read(column), [1, np.nan])


def test_stored_times_are_no_numbers() -> None:
    with pytest.raises(DataError, match=r"must hold numbers; it holds timestamp.*`targets`"):
        read(pa.array([0], pa.timestamp("s")))
