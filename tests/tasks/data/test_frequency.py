import numpy as np
import pandas as pd
import pytest

from tasks.data.frequency import infer_frequency, looks_like_skipped_hour, parse_frequency
from tasks.data.times import Times
from tasks.errors import DataError


def times_of(alias: str, rows: int = 60, start: str = "2023-01-02 00:00") -> Times:
    return pd.date_range(start, periods=rows, freq=alias).to_numpy().astype("datetime64[us]")


@pytest.mark.parametrize(
    ("alias", "season"),
    [
        ("min", 1440), ("5min", 288), ("10min", 144), ("15min", 96), ("30min", 48), ("h", 24),
        ("6h", 4), ("7min", 1), ("D", 7), ("B", 5), ("W", 52), ("2W", 1), ("MS", 12), ("QS", 4),
        ("2MS", 6), ("6MS", 2), ("YS", 1),
    ],
)  # fmt: skip
def test_frequencies_are_inferred_from_one_minute_to_one_year(alias: str, season: int) -> None:
    times = times_of(alias)
    found = infer_frequency(times)
    assert found is not None
    assert found == parse_frequency(alias)
    assert found.season == season
    steps, on_grid = found.positions(times, times[0])
    assert on_grid.all()
    assert steps.tolist() == list(range(60))


@pytest.mark.parametrize("alias", ["ME", "QE", "YE"])
def test_ends_of_months_are_a_frequency_too(alias: str) -> None:
    found = infer_frequency(times_of(alias))
    assert found is not None
    assert found.alias == {"ME": "MS", "QE": "QS", "YE": "YS"}[alias]


@pytest.mark.parametrize(
    ("text", "alias"),
    [("T", "min"), ("60min", "h"), ("H", "h"), ("24h", "D"), ("7D", "W"), ("W-SUN", "W"),
     ("M", "MS"), ("Q", "QS"), ("A", "YS"), ("12MS", "YS"), ("600s", "10min")],
)  # fmt: skip
def test_names_of_the_same_frequency_are_alike(text: str, alias: str) -> None:
    assert parse_frequency(text) == parse_frequency(alias)
    assert parse_frequency(text).alias == alias


@pytest.mark.parametrize("text", ["hourly", "", "0h", "5s", "90s", "x", "-1h", "1.5h", "10Y"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"15min, h, D, B, W|between one minute and one year"):
        parse_frequency(text)


def test_a_few_gaps_do_not_change_the_frequency() -> None:
    times = np.delete(times_of("15min", 200), [3, 4, 50, 51, 52])
    assert infer_frequency(times) == parse_frequency("15min")
    steps, on_grid = parse_frequency("15min").positions(times, times[0])
    assert on_grid.all()
    assert steps[-1] == 199


def test_random_times_have_no_frequency() -> None:
    minutes = np.cumsum(np.random.default_rng(0).integers(1, 500, 100))
    times = np.datetime64("2024-01-01", "us") + minutes * np.timedelta64(1, "m")
    assert infer_frequency(times) is None


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (["2023-03-26T02:00"], True),  # Europe, local time
        (["2023-03-12T02:00", "2023-03-12T02:30"], True),  # America
        (["2023-03-19T02:00"], False),
        (["2023-03-26T04:00"], False),
        (["2023-03-26T02:00", "2023-03-26T03:00"], False),
        (["2023-07-30T02:00"], False),
        ([], False),
    ],
)
def test_only_the_hour_that_clocks_skip_looks_like_it(missing: list[str], expected: bool) -> None:
    assert looks_like_skipped_hour(np.array(missing, dtype="datetime64[us]")) is expected
