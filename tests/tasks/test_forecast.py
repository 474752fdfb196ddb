"""Batch forecasts of files: values, times, scales, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from tasks.data.frequency import is_month_end, parse_frequency
from tasks.errors import CheckpointError, DataError, ParamsError
from tasks.forecast import Settings, forecast_file
from tasks.models.registry import load_model
from tasks.sections.data import Dataset
from tests.tiny import CONTEXT, HORIZON, tiny_model

WIDE, LONG = Dataset(freq="h"), Dataset(kind="long")
SETTINGS = Settings(device="cpu")


def waves(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(rows) / 4 + seed) + 0.1 * rng.standard_normal(rows)


def hours(rows: int) -> pd.DatetimeIndex:
    return pd.date_range("2024-01-01", periods=rows, freq="h")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_model().with_blocks([0, 3]).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Three series; `far` is `a` on another scale; `b` has a gap."""
    frame = pd.DataFrame({"date": hours(200), "a": waves(200), "b": waves(200, 1)})
    frame["far"] = 5000 + 300 * frame["a"]
    frame.loc[180:185, "b"] = np.nan
    frame.to_csv(tmp_path / "wide.csv", index=False)
    return tmp_path / "wide.csv"


def test_forecasts_are_those_of_the_model_in_long_format(
    model: Path, wide: Path, tmp_path: Path
) -> None:
    done = forecast_file(model, wide, WIDE, tmp_path / "out.csv", SETTINGS)
    assert (done.series, done.horizon, done.freq, done.levels) == (3, HORIZON, "h", [])
    found = pd.read_csv(tmp_path / "out.csv", parse_dates=["ds"])
    assert list(found.columns) == ["unique_id", "ds", "mean"]
    assert list(found["unique_id"].unique()) == ["a", "b", "far"]
    after = pd.date_range(hours(200)[-1], periods=HORIZON + 1, freq="h")[1:]
    given = pd.read_csv(wide)
    for name, part in found.groupby("unique_id"):
        assert list(part["ds"]) == list(after)
        context = torch.tensor(given[name].to_numpy()[-CONTEXT:], dtype=torch.float32)
        with torch.inference_mode():
            expected = load_model(model).forecast(context[None], HORIZON).mean[0]
        np.testing.assert_allclose(part["mean"], expected, rtol=1e-4, atol=1e-4)


def test_series_stay_on_their_own_scale(model: Path, wide: Path, tmp_path: Path) -> None:
    forecast_file(model, wide, WIDE, tmp_path / "out.parquet", SETTINGS)
    found = pd.read_parquet(tmp_path / "out.parquet").pivot(
        index="ds", columns="unique_id", values="mean"
    )
    np.testing.assert_allclose(found["far"], 5000 + 300 * found["a"], rtol=1e-4)


def test_batches_and_longer_horizons(model: Path, wide: Path, tmp_path: Path) -> None:
    long = dataclasses.replace(SETTINGS, horizon=3 * HORIZON + 1)
    forecast_file(model, wide, WIDE, tmp_path / "one.parquet", long)
    forecast_file(
        model, wide, WIDE, tmp_path / "two.parquet", dataclasses.replace(long, batch_size=2)
    )
    one, two = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "two"))
    assert len(one) == 3 * (3 * HORIZON + 1)
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)


def test_long_series_end_where_they_end(model: Path, tmp_path: Path) -> None:
    parts = [
        pd.DataFrame({"unique_id": name, "ds": hours(rows) + shift, "y": waves(rows)})
        for name, rows, shift in (
            ("late", 150, pd.Timedelta("30min")),
            ("early", 100, pd.Timedelta(0)),
            ("young", 20, pd.Timedelta("5h")),
        )
    ]
    pd.concat(parts).to_parquet(tmp_path / "long.parquet")
    out = tmp_path / "out.csv"
    forecast_file(model, tmp_path / "long.parquet", LONG, out, SETTINGS)
    found = pd.read_csv(out, parse_dates=["ds"]).groupby("unique_id")["ds"].min()
    assert found["late"] == hours(151)[-1] + pd.Timedelta("30min")
    assert found["early"] == hours(101)[-1]
    assert found["young"] == hours(21)[-1] + pd.Timedelta("5h")


def test_quantiles_where_the_model_has_them(wide: Path, tmp_path: Path) -> None:
    pytest.importorskip("chronos")
    from tests.tasks.models.zoo.tiny_bolt import tiny

    tiny().save(tmp_path / "bolt")
    done = forecast_file(tmp_path / "bolt", wide, WIDE, tmp_path / "out.csv", SETTINGS)
    assert done.levels == [number / 10 for number in range(1, 10)]
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.columns) == [
        "unique_id", "ds", "mean", *(f"0.{number}" for number in range(1, 10)),
    ]  # fmt: skip
    np.testing.assert_allclose(found["mean"], found["0.5"])
    scaled = found.pivot(index="ds", columns="unique_id", values="0.9")
    np.testing.assert_allclose(scaled["far"], 5000 + 300 * scaled["a"], rtol=1e-4)


@pytest.mark.parametrize(
    ("freq", "last", "expected"),
    [
        ("15min", "2024-02-28T23:45", ["2024-02-29T00:00", "2024-02-29T00:15"]),
        ("W", "2024-01-07", ["2024-01-14", "2024-01-21"]),
        ("B", "2024-01-05T09:00", ["2024-01-08T09:00", "2024-01-09T09:00"]),
        ("MS", "2024-01-01", ["2024-02-01", "2024-03-01"]),
        ("MS", "2024-01-31", ["2024-02-29", "2024-03-31"]),
        ("MS", "2024-01-15T06:00", ["2024-02-15T06:00", "2024-03-15T06:00"]),
        ("QS", "2024-10-01", ["2025-01-01", "2025-04-01"]),
        ("QE", "2024-12-31", ["2025-03-31", "2025-06-30"]),
        ("YS", "2024-01-01", ["2025-01-01", "2026-01-01"]),
    ],
)
def test_future_times_follow_the_frequency(freq: str, last: str, expected: list[str]) -> None:
    time = np.datetime64(last, "us")
    found = parse_frequency(freq).after(time, 2, is_end=is_month_end(time))
    assert list(found) == [np.datetime64(one, "us") for one in expected]


def test_a_frequency_that_is_unknown_is_refused(model: Path, tmp_path: Path) -> None:
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(80) ** 2 * 7, unit="s")
    data = tmp_path / "odd.csv"
    pd.DataFrame({"date": times, "a": waves(80)}).to_csv(data, index=False)
    with pytest.raises(DataError, match=r"follow no frequency .* give --freq"):
        forecast_file(model, data, Dataset(irregular="as_rows"), tmp_path / "out.csv", SETTINGS)
    done = forecast_file(
        model, data, Dataset(irregular="as_rows", freq="D"), tmp_path / "out.csv", SETTINGS
    )
    assert done.freq == "D"


def test_series_that_are_too_short_are_named_or_left_out(model: Path, tmp_path: Path) -> None:
    parts = [
        pd.DataFrame({"unique_id": name, "ds": hours(rows), "y": waves(rows)})
        for name, rows in (("good", 100), ("short", 10))
    ]
    data, out = tmp_path / "long.csv", tmp_path / "out.csv"
    pd.concat(parts).to_csv(data, index=False)
    with pytest.raises(DataError, match=r"1 of 2 series \('short'\) have fewer than 16 values"):
        forecast_file(model, data, LONG, out, SETTINGS)
    assert not out.exists()
    skipping = dataclasses.replace(SETTINGS, skip_short=True)
    done = forecast_file(model, data, LONG, out, skipping)
    assert done.skipped == ["short"]
    parts[1].to_csv(data, index=False)
    with pytest.raises(DataError, match=r"1 of 1 series .* or give more rows"):
        forecast_file(model, data, LONG, out, skipping)


def test_a_folder_that_is_no_model_is_refused(model: Path, wide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(CheckpointError, match=r"absent: no such folder; check the path"):
        forecast_file(tmp_path / "absent", wide, WIDE, out, SETTINGS)
    with pytest.raises(
        CheckpointError, match="backbone: is a checkpoint, not a model folder; name"
    ):
        forecast_file(model / "backbone", wide, WIDE, out, SETTINGS)


@pytest.mark.parametrize(
    ("out", "message"), [("out.xlsx", "must end in .csv"), ("wide.csv", "is the data file itself")]
)
def test_a_place_where_nothing_can_be_written_is_refused(
    model: Path, wide: Path, tmp_path: Path, out: str, message: str
) -> None:
    before = wide.read_bytes()
    with pytest.raises(ParamsError, match=message):
        forecast_file(model, wide, WIDE, tmp_path / out, SETTINGS)
    assert wide.read_bytes() == before


def test_a_failure_leaves_the_old_file(
    model: Path, wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space left"):
        forecast_file(model, wide, WIDE, out, SETTINGS)
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "wide.csv", "out.csv"}


def test_the_command_says_what_it_wrote(
    model: Path, wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["forecast", "model", "wide.csv", "--horizon", "5"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "wide-forecast.csv: 3 series, 5 rows ahead (h)"
    assert len(pd.read_csv(tmp_path / "wide-forecast.csv")) == 15
