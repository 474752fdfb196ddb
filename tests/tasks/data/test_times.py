from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.table import Table
from tasks.data.times import Clock, read_times, to_utc
from tasks.errors import DataError
from tasks.sections.data import Dataset


def table_of(column: pa.Array) -> Table:
    rows = np.arange(1, len(column) + 1)
    columns = {"date": pa.chunked_array([column])}
    return Table([Path("raw/x.csv")], columns, np.zeros(len(column), dtype=np.int64), rows)


def read(*texts: str, **settings: str) -> Clock:
    return read_times(table_of(pa.array(texts)), "date", Dataset.model_validate(settings))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", "2024-02-29"),
        ("2024-02-29 13:05", "2024-02-29T13:05"),
        ("2024-02-29T13:05:06", "2024-02-29T13:05:06"),
        ("2024-02-29 13:05:06.25", "2024-02-29T13:05:06.25"),
        ("1990/1/1 0:00", "1990-01-01"),
        ("2024.3.7", "2024-03-07"),
        ("2024-03", "2024-03-01"),
        ("1700-01-01", "1700-01-01"),
        (" 2024-02-29 ", "2024-02-29"),
    ],
)
def test_year_first_times_are_read(text: str, expected: str) -> None:
    clock = read(text)
    assert clock.times[0] == np.datetime64(expected)
    assert not clock.is_aware


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00"),
        ("2024-01-01 00:00+01:00", "2023-12-31T23:00"),
        ("2024-01-01 00:00:00 -0530", "2024-01-01T05:30"),
    ],
)
def test_offsets_become_utc(text: str, expected: str) -> None:
    clock = read(text)
    assert clock.times[0] == np.datetime64(expected)
    assert clock.is_aware


@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 12, 31)))
def test_every_possible_time_is_read_as_it_is(moment: datetime) -> None:
    assert read(str(moment)).times[0] == np.datetime64(moment)


@pytest.mark.parametrize(
    ("unit", "text"),
    [("s", "1700000000"), ("ms", "1700000000000"), ("us", "1700000000000000"),
     ("ns", "1700000000000000000"), ("s", "1700000000.0")],
)  # fmt: skip
def test_epochs_are_read_in_the_unit_that_is_named(unit: str, text: str) -> None:
    assert read(text, time_unit=unit).times[0] == np.datetime64("2023-11-14T22:13:20")


@pytest.mark.parametrize("text", ["1e9", "abc", "1700000000.5", "9" * 30])
def test_what_is_no_epoch_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="line 1, column 'date': must be a whole number"):
        read(text, time_unit="s")


def test_a_bare_year_needs_a_format() -> None:
    with pytest.raises(DataError, match=r"a number is no date; .*'%Y'"):
        read("1999")
    assert read("1999", time_format="%Y").times[0] == np.datetime64("1999-01-01")


def test_a_format_with_offset_becomes_utc() -> None:
    clock = read("31.12.2023 23:00 +0100", time_format="%d.%m.%Y %H:%M %z")
    assert clock.times[0] == np.datetime64("2023-12-31T22:00")
    assert clock.is_aware


@pytest.mark.parametrize(
    ("column", "expected", "is_aware"),
    [
        (pa.array([0], pa.timestamp("ns")), "1970-01-01T00:00", False),
        (pa.array([3600], pa.timestamp("s", tz="Europe/Berlin")), "1970-01-01T01:00", True),
        (pa.array([1], pa.date32()), "1970-01-02", False),
    ],
)
def test_stored_times_are_read(column: pa.Array, expected: str, is_aware: bool) -> None:
    clock = read_times(table_of(column), "date", Dataset())
    assert clock.times[0] == np.datetime64(expected)
    assert clock.is_aware is is_aware


def test_stored_blank_times_are_refused() -> None:
    with pytest.raises(DataError, match="line 2, column 'date': the time is blank"):
        read_times(table_of(pa.array([0, None], pa.timestamp("us"))), "date", Dataset())


def test_columns_of_other_types_are_refused() -> None:
    with pytest.raises(DataError, match="must hold time stamps; it holds bool"):
        read_times(table_of(pa.array([True])), "date", Dataset())


def test_a_zone_orders_the_repeated_hour() -> None:
    clock = read(*(f"2023-10-29 0{hour}:00" for hour in (1, 2, 2, 3)))
    utc = to_utc(clock, "Europe/Berlin", np.zeros(4, dtype=np.int64), where="x.csv")
    assert (np.diff(utc) == np.timedelta64(1, "h")).all()


def test_dates_of_days_stay_on_the_local_calendar() -> None:
    clock = read("2023-10-28T22:00:00Z", "2023-10-29T23:00:00Z")
    local = to_utc(clock, "Europe/Berlin", np.zeros(2, dtype=np.int64), where="x.csv")
    assert local.tolist() == [np.datetime64(f"2023-10-{day}", "us").item() for day in (29, 30)]


def test_a_time_that_the_zone_skips_is_refused() -> None:
    clock = read("2023-03-26 01:00", "2023-03-26 02:30")
    with pytest.raises(DataError, match=r"x\.csv: times do not fit `time_zone: Europe/Berlin`"):
        to_utc(clock, "Europe/Berlin", np.zeros(2, dtype=np.int64), where="x.csv")
