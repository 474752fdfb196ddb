"""The laws of preparing: no future in the past, scaling from training alone."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.grid import SourceSeries
from tasks.data.prepared import Prepared, audit, prepare_dataset, rows_between
from tasks.data.series import Series, SeriesSet
from tasks.data.windows import test_windows as windows_of_test
from tasks.data.windows import training_windows, validation_windows
from tasks.errors import DataError
from tasks.sections.data import Dataset, Windows

WINDOWS = Windows(context=16, horizon=4)


def counting_frame(rows: int, channels: int = 2) -> pd.DataFrame:
    """Channel i counts the rows, from 1000 i on, so that every value tells its row."""
    frame = pd.DataFrame({f"c{i}": np.arange(rows) + 1000.0 * i for i in range(channels)})
    frame.insert(0, "date", pd.date_range("2024-01-01", periods=rows, freq="h"))
    return frame


def prepare(folder: Path, frame: pd.DataFrame, **settings: object) -> Prepared:
    frame.to_csv(folder / "x.csv", index=False)
    return prepare_dataset(folder, "x", Dataset.model_validate(settings), WINDOWS)


def unscaled(data: SeriesSet, one: Series) -> np.ndarray:
    values = data.values[one.start : one.start + one.length].astype(np.float64)
    return values * one.std + one.mean


def long_frame(lengths: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Series from row `first` to row `last` of one hourly clock; values are the rows."""
    parts = []
    for name, (first, last) in lengths.items():
        hours = np.arange(first, last)
        times = pd.Timestamp("2024-01-01") + pd.to_timedelta(hours, unit="h")
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": hours.astype(float)}))
    return pd.concat(parts)


@pytest.mark.parametrize("rows", [60, 101, 500])
def test_history_and_test_hold_the_rows_of_their_ranges(tmp_path: Path, rows: int) -> None:
    prepared = prepare(tmp_path, counting_frame(rows))
    train, test = int(rows * 0.7), int(rows * 0.2)
    assert prepared.test is not None
    for i, (past, future) in enumerate(
        zip(prepared.history.series, prepared.test.series, strict=True)
    ):
        assert past.train_end == train
        np.testing.assert_allclose(
            unscaled(prepared.history, past), np.arange(rows - test) + 1000 * i, atol=1e-3
        )
        assert future.train_end == WINDOWS.context
        np.testing.assert_allclose(
            unscaled(prepared.test, future),
            np.arange(rows - test - WINDOWS.context, rows) + 1000 * i,
            atol=1e-3,
        )


def test_the_scaler_sees_the_training_range_alone(tmp_path: Path) -> None:
    frame = counting_frame(100)
    before = prepare(tmp_path, frame)
    frame.loc[70:, ["c0", "c1"]] *= 50
    after = prepare(tmp_path, frame)
    for one, other in zip(before.history.series, after.history.series, strict=True):
        assert (one.mean, one.std) == (other.mean, other.std)
    assert before.history.series[0].mean == np.arange(70).mean()
    assert before.history.series[0].std == np.arange(70).std()
    np.testing.assert_array_equal(before.history.values[:70], after.history.values[:70])


@given(rows=st.integers(40, 300), horizon=st.integers(1, 6), context=st.integers(1, 16))
def test_target_ranges_never_overlap_in_time(rows: int, horizon: int, context: int) -> None:
    import tempfile

    windows = Windows(context=context, horizon=horizon)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        counting_frame(rows, 1).to_csv(path, index=False)
        try:
            prepared = prepare_dataset(path, "x", Dataset(), windows)
        except DataError:
            return
    assert prepared.test is not None
    one = prepared.history.series[0]
    targets = []
    for data, chosen in (
        (prepared.history, training_windows(prepared.history, context, horizon)),
        (prepared.history, validation_windows(prepared.history, context, horizon)),
        (prepared.test, windows_of_test(prepared.test, context, horizon, stride=1)),
    ):
        values = chosen.batch(chosen.spaced(len(chosen))).numpy()[:, context:]
        rows_seen = values.astype(np.float64) * one.std + one.mean
        targets.append((rows_seen.min(), rows_seen.max()))
        assert data.series[0].std == one.std
    (_, last_train), (first_valid, last_valid), (first_test, last_test) = targets
    assert round(first_valid) == round(last_train) + 1
    assert round(first_test) == round(last_valid) + 1
    assert round(last_test) == rows - 1


def test_the_test_file_reaches_back_into_history_by_one_context(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, counting_frame(200))
    assert prepared.test is not None
    for past, future in zip(prepared.history.series, prepared.test.series, strict=True):
        end = past.start + past.length
        np.testing.assert_array_equal(
            prepared.test.values[future.start : future.start + WINDOWS.context],
            prepared.history.values[end - WINDOWS.context : end],
        )


def test_long_series_are_cut_at_the_same_time(tmp_path: Path) -> None:
    lengths = {"full": (0, 200), "late": (100, 200), "early": (0, 170), "ends": (0, 150)}
    prepared = prepare(tmp_path, long_frame(lengths), kind="long")
    past = {one.name: one for one in prepared.history.series}
    assert {name: (one.train_end, one.length) for name, one in past.items()} == {
        "full": (140, 160), "late": (40, 60), "early": (140, 160), "ends": (140, 150),
    }  # fmt: skip
    assert prepared.test is not None
    future = {one.name: unscaled(prepared.test, one) for one in prepared.test.series}
    assert {name: len(values) for name, values in future.items()} == {
        "full": 56, "late": 56, "early": 26, "ends": 16,
    }  # fmt: skip
    np.testing.assert_allclose(future["late"], np.arange(144, 200), atol=1e-4)
    assert np.isnan(future["ends"][6:]).all()
    assert len(windows_of_test(prepared.test, 16, 4, stride=1)) == 37 + 37 + 7


def test_a_late_series_is_padded_before_its_first_row(tmp_path: Path) -> None:
    windows = Windows(context=60, horizon=4)
    long_frame({"full": (0, 400), "late": (210, 400)}).to_csv(tmp_path / "x.csv", index=False)
    prepared = prepare_dataset(tmp_path, "x", Dataset(kind="long"), windows)
    assert [one.name for one in prepared.history.series] == ["full", "late"]
    one = SourceSeries("s", 5, np.arange(3.0))
    np.testing.assert_array_equal(
        rows_between(one, 3, 10), [math.nan, math.nan, 0, 1, 2, math.nan, math.nan]
    )
    assert len(rows_between(one, 6, 4)) == 0


def test_a_series_empty_in_training_is_dropped_with_a_warning(tmp_path: Path) -> None:
    frame = counting_frame(200)
    frame.loc[:139, "c1"] = np.nan
    prepared = prepare(tmp_path, frame)
    assert [one.name for one in prepared.history.series] == ["c0"]
    assert prepared.profile.dropped_series == ["c1"]
    assert "1 series without any value in the training range were dropped" in (
        prepared.profile.warnings
    )


def test_the_profile_tells_what_is_in_the_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = counting_frame(400)
    frame["noise"] = rng.normal(size=400)
    frame["walk"] = rng.normal(size=400).cumsum()
    frame["flat"] = 1.0
    frame.loc[3, "noise"] = np.nan
    frame = frame.drop(index=[10, 11])
    profile = prepare(tmp_path, frame).profile
    assert (profile.rows, profile.num_series, profile.gaps) == (400, 5, 2)
    assert (profile.freq, profile.season) == ("h", 24)
    assert (profile.train_rows, profile.valid_rows, profile.test_rows) == (280, 40, 80)
    assert profile.missing_share == 11 / 2000
    channels = {one.name: one for one in profile.channels}
    assert channels["noise"].missing == 3
    assert channels["noise"].adf_p_value is not None
    assert channels["noise"].adf_p_value < 0.01
    assert channels["walk"].adf_p_value is not None
    assert channels["walk"].adf_p_value > 0.05
    assert channels["flat"].is_constant
    assert channels["flat"].adf_p_value is None
    assert not profile.synthetic


def test_audit_finds_what_prepare_finds(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, counting_frame(100))
    assert audit(tmp_path, "x", Dataset(), WINDOWS) == prepared.profile


def test_a_named_season_wins(tmp_path: Path) -> None:
    assert prepare(tmp_path, counting_frame(100), season=12).profile.season == 12


def test_a_collection_is_padded_scaled_by_series_and_partly_held_out(tmp_path: Path) -> None:
    targets = [np.arange(20.0 + i) for i in range(40)]
    pd.DataFrame(
        {"dataset": "m", "item_id": [f"{i:02d}" for i in range(40)], "freq": "h",
         "start": "2024-01-01", "target": targets}
    ).to_parquet(tmp_path / "x.parquet")  # fmt: skip
    prepared = prepare_dataset(
        tmp_path, "x", Dataset(kind="collection"), Windows(context=16, horizon=12)
    )
    assert prepared.test is None
    for index, one in enumerate(prepared.history.series):
        assert one.length == 8 + 20 + index + 4
        assert one.train_end == (0 if index % 20 == 10 else one.length)
        values = prepared.history.values[one.start : one.start + one.length]
        assert np.isnan(values[:8]).all()
        assert np.isnan(values[-4:]).all()
        assert np.nanmean(values) == pytest.approx(0, abs=1e-6)
        assert np.nanstd(values) == pytest.approx(1, abs=1e-6)
    assert prepared.profile.channels == []
    assert prepared.profile.num_points == sum(len(one) for one in targets)


def test_joined_members_are_each_read_split_and_scaled_by_itself(tmp_path: Path) -> None:
    parts = {}
    for member, rows in (("short", 100), ("long", 300)):
        (tmp_path / member).mkdir()
        parts[member] = prepare(tmp_path / member, counting_frame(rows))
    joined = prepare_dataset(
        tmp_path,
        "both",
        Dataset(kind="joined", members={"short": Dataset(), "long": Dataset(season=7)}),
        WINDOWS,
    )
    assert joined.test is not None
    for whole, which in ((joined.history, "history"), (joined.test, "test")):
        own = [(member, getattr(part, which)) for member, part in parts.items()]
        places = iter(whole.series)
        for member, data in own:
            for one in data.series:
                place = next(places)
                assert place.name == f"{member}/{one.name}"
                assert (place.train_end, place.mean) == (one.train_end, one.mean)
                np.testing.assert_array_equal(unscaled(whole, place), unscaled(data, one))
        assert next(places, None) is None
    profile = joined.profile
    assert (profile.num_series, profile.num_points, profile.rows) == (4, 800, 300)
    assert "seasonal naive and MASE use one season, 7 rows; seasons: short 24, long 7" in (
        profile.warnings
    )


@pytest.mark.parametrize(
    ("name", "settings", "rows", "expected", "freq"),
    [
        ("ETTh1", {"split": {"train": 8640, "validation": 2880, "test": 2880}}, 17420,
         (8640, 2880, 2880), "h"),
        ("ETTm1", {"split": {"train": 34560, "validation": 11520, "test": 11520}}, 69680,
         (34560, 11520, 11520), "15min"),
        ("weather", {"irregular": "as_rows"}, 52696, (36887, 5270, 10539), "10min"),
        ("exchange_rate", {"irregular": "as_rows"}, 7588, (5311, 760, 1517), "D"),
    ],
)  # fmt: skip
def test_benchmark_files_split_as_published(
    mirror: Path,
    name: str,
    settings: dict[str, object],
    rows: int,
    expected: tuple[int, int, int],
    freq: str,
) -> None:
    windows = Windows(context=512, horizon=96)
    dataset = Dataset.model_validate(settings)
    path = mirror / f"{name}.csv.gz"
    prepared = prepare_dataset(path, name, dataset, windows)
    profile = prepared.profile
    assert (profile.rows, profile.train_rows, profile.valid_rows, profile.test_rows) == (
        rows, *expected,
    )  # fmt: skip
    assert (profile.freq, profile.missing_share, profile.dropped_series) == (freq, 0, [])
    assert prepared.test is not None
    channels = len(prepared.history.series)
    assert len(training_windows(prepared.history, 512, 96)) == channels * (expected[0] - 607)
    assert len(validation_windows(prepared.history, 512, 96)) == channels * (expected[1] - 95)
    assert len(windows_of_test(prepared.test, 512, 96, stride=1)) == channels * (expected[2] - 95)
    plain = pd.read_csv(path).iloc[:, 1:].to_numpy()
    train = plain[: expected[0]]
    scaled = (plain[: expected[0] + expected[1]] - train.mean(0)) / train.std(0)
    np.testing.assert_allclose(
        prepared.history.values.reshape(channels, -1).T, scaled, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("first", "last", "what"), [(350, 400, "validation"), (400, 500, "test")])
def test_a_range_without_any_value_is_refused(tmp_path, first, last, what):
    frame = counting_frame(500)
    frame.loc[first : last - 1, ["c0", "c1"]] = np.nan
    with pytest.raises(DataError, match=f"no series has a value in the {what} range"):
        prepare(tmp_path, frame)
    frame.loc[last - 1, "c1"] = 1.0
    assert prepare(tmp_path, frame).test is not None
