"""Seasonal naive and the linear forecaster."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.series import Series, SeriesSet
from tasks.data.windows import WindowSet, training_windows, validation_windows
from tasks.metrics.baselines import (
    LinearForecaster,
    _moving_average,
    fit_linear,
    seasonal_naive,
)

NAN = float("nan")
CONTEXT, HORIZON = 48, 12


def windows_of(values: np.ndarray) -> tuple[WindowSet, WindowSet]:
    train_end = round(0.8 * len(values))
    series = (Series("a", 0, len(values), train_end, 0.0, 1.0),)
    data = SeriesSet(values.astype(np.float32), series)
    return (
        training_windows(data, CONTEXT, HORIZON),
        validation_windows(data, CONTEXT, HORIZON),
    )


def fit(train: WindowSet, valid: WindowSet) -> LinearForecaster:
    return fit_linear(train, train.spaced(500), valid, valid.spaced(200))


@pytest.mark.parametrize(
    ("context", "season", "forecast"),
    [
        ([1, 2, 3, 4], 1, [4, 4, 4]),
        ([1, 2, 3, 4], 2, [3, 4, 3]),
        ([1, 2, 3, 4, 5], 3, [3, 4, 5]),
        ([1, 2, NAN, 4], 2, [1, 4, 1]),  # the phase's last observed value
        ([NAN, 2, NAN, 4], 2, [4, 4, 4]),  # never observed: the last value
        ([1, 2], 5, [2, 2, 2]),  # a season longer than the context
        ([NAN, NAN], 2, [0, 0, 0]),
    ],
)
def test_seasonal_naive(context: list[float], season: int, forecast: list[float]) -> None:
    found = seasonal_naive(
        torch.tensor([context, context], dtype=torch.float32), season=season, horizon=3
    )
    assert found.tolist() == [forecast, forecast]


@given(season=st.integers(1, 12), length=st.integers(12, 40), horizon=st.integers(1, 30))
def test_seasonal_naive_is_exact_on_a_periodic_series(
    season: int, length: int, horizon: int
) -> None:
    values = torch.sin(torch.arange(length + horizon) % season + 1.0)[None]
    found = seasonal_naive(values[:, :length], season=season, horizon=horizon)
    assert torch.equal(found, values[:, length:])


def test_moving_average_smooths_with_repeated_edges() -> None:
    values = torch.arange(40.0, dtype=torch.float64)
    padded = torch.cat([values[:1].repeat(12), values, values[-1:].repeat(12)])
    expected = padded.unfold(0, 25, 1).mean(dim=1)
    torch.testing.assert_close(values @ _moving_average(40), expected)


def test_ridge_on_the_sum_of_both_maps_equals_ridge_on_each() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 30, generator=generator, dtype=torch.float64)
    targets = torch.randn(200, 4, generator=generator, dtype=torch.float64)
    average = _moving_average(30)
    rest = torch.eye(30, dtype=torch.float64) - average
    both = torch.cat([inputs @ average, inputs @ rest], dim=1)
    identity = torch.eye(60, dtype=torch.float64)
    maps = torch.linalg.solve(both.T @ both + 5.0 * identity, both.T @ targets)
    penalty = torch.linalg.inv(average @ average.T + rest @ rest.T)
    weight = torch.linalg.solve(inputs.T @ inputs + 5.0 * penalty, inputs.T @ targets)
    torch.testing.assert_close(inputs @ weight, both @ maps)


def test_linear_forecaster_learns_a_noise_free_seasonal_series() -> None:
    time = np.arange(1500)
    train, valid = windows_of(np.sin(time / 3) + 0.5 * np.sin(time / 7))
    window = valid.batch(valid.spaced(50))
    forecast = fit(train, valid)(window[:, :CONTEXT])
    assert float((forecast - window[:, CONTEXT:]).square().mean()) < 1e-3


def test_linear_forecaster_beats_the_mean_on_noisy_data_with_missing_values() -> None:
    generator = np.random.default_rng(1)
    values = np.sin(np.arange(2000) / 4) + 0.3 * generator.standard_normal(2000)
    values[generator.random(2000) < 0.1] = np.nan
    train, valid = windows_of(values)
    window = valid.batch(valid.spaced(100))
    forecast = fit(train, valid)(window[:, :CONTEXT])
    error = (forecast - window[:, CONTEXT:]).square().nanmean()
    assert bool(forecast.isfinite().all())
    assert float(error) < 0.2  # noise 0.09, the series' own variance 0.59


def test_linear_forecast_moves_and_scales_with_the_context() -> None:
    forecaster = LinearForecaster(torch.randn(CONTEXT, HORIZON), ridge=1.0)
    context = torch.randn(3, CONTEXT)
    torch.testing.assert_close(
        forecaster(3 * context + 2), 3 * forecaster(context) + 2, rtol=1e-4, atol=1e-4
    )


def test_linear_forecaster_never_sees_the_validation_range_in_its_fit() -> None:
    values = np.sin(np.arange(1000) / 5)
    train, valid = windows_of(values)
    changed = values.copy()
    changed[800:] = 100.0
    train_again, _ = windows_of(changed)
    assert torch.equal(fit(train, valid).weight, fit(train_again, valid).weight)


def test_constant_series_are_forecast_as_constant() -> None:
    train, valid = windows_of(np.zeros(600))
    forecast = fit(train, valid)(torch.zeros(2, CONTEXT))
    assert torch.equal(forecast, torch.zeros(2, HORIZON))
