"""The demo dataset: generated hourly channels with the troubles of real data."""

import numpy as np
import pandas as pd
from jaxtyping import Float64

START = "2023-01-02 00:00:00"  # a Monday
DAY, WEEK = 24, 168
MISSING_STRETCHES = 2  # per channel
LONGEST_STRETCH = 36

Column = Float64[np.ndarray, " rows"]


def demo_frame(rows: int, channels: int, seed: int) -> pd.DataFrame:
    """Hourly rows with a `date` column and `channel_1` ... `channel_N`.

    Channels share daily and weekly shapes, a slow common factor, and trend changes; each adds
    level shifts, noise that is stronger by day, an echo of the channel before it a few hours
    later, and a few missing stretches.

    Args:
        rows: hours.
        channels: how many.
        seed: the same seed gives the same values.
    """
    rng = np.random.default_rng(seed)
    hours = np.arange(rows, dtype=np.float64)
    common = _slow_factor(rng, rows)
    shapes = np.stack([_daily_shape(rng, hours) for _ in range(3)])  # [shapes, rows]
    values = np.empty((rows, channels))
    for channel in range(channels):
        weights = rng.dirichlet(np.ones(len(shapes)))
        season = weights @ shapes
        working = 1 - rng.uniform(0.1, 0.6) * _weekend(hours)
        signal = rng.uniform(1.0, 2.0) * season * working
        signal += rng.uniform(0.2, 0.5) * np.sin(2 * np.pi * (hours / WEEK + rng.uniform()))
        signal += rng.uniform(0.2, 0.6) * common + _trend(rng, rows) + _level_shifts(rng, rows)
        if channel:
            lag = int(rng.integers(2, 7))
            signal[lag:] += rng.uniform(0.2, 0.5) * _standard(values[:-lag, channel - 1])
        values[:, channel] = signal + _noise(rng, season)
    scale, level = rng.uniform(0.5, 20, channels), rng.uniform(-20, 100, channels)
    values = np.round(values * scale + level, 4)
    for channel in range(channels):
        _remove_stretches(rng, values[:, channel])
    times = pd.date_range(START, periods=rows, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    frame = pd.DataFrame(values, columns=[f"channel_{i + 1}" for i in range(channels)])
    frame.insert(0, "date", times)
    return frame


def _standard(values: Column) -> Column:
    standard: Column = (values - values.mean()) / (values.std() + 1e-9)
    return standard


def _weekend(hours: Column) -> Column:
    return ((hours // DAY) % 7 >= 5).astype(np.float64)


def _daily_shape(rng: np.random.Generator, hours: Column) -> Column:
    """A smooth daily cycle of three harmonics with a phase that drifts over the year."""
    drift = 0.05 * np.sin(2 * np.pi * hours / (365 * DAY) + rng.uniform(0, 2 * np.pi))
    shape = np.zeros_like(hours)
    for harmonic, size in ((1, 1.0), (2, 0.5), (3, 0.25)):
        phase = rng.uniform(0, 2 * np.pi)
        angle = 2 * np.pi * harmonic * (hours / DAY + drift) + phase
        shape += size * rng.uniform(0.5, 1) * np.sin(angle)
    return shape


def _slow_factor(rng: np.random.Generator, rows: int) -> Column:
    """An autoregressive walk that forgets in about a week, with unit deviation."""
    return _standard(autoregression(rng.normal(size=rows), [np.exp(-1 / WEEK)]))


def autoregression(shocks: Column, weights: list[float]) -> Column:
    """y_t = sum_i weights[i] y_(t-1-i) + shocks_t, started at zero."""
    values = np.zeros(len(shocks) + len(weights))
    backward = np.asarray(weights)[::-1]
    for t, shock in enumerate(shocks, start=len(weights)):
        values[t] = values[t - len(weights) : t] @ backward + shock
    return values[len(weights) :]


def _trend(rng: np.random.Generator, rows: int) -> Column:
    """A line that changes its slope three times."""
    knots = np.concatenate([[0], np.sort(rng.uniform(0.1, 0.9, 3)), [1]]) * rows
    return np.interp(np.arange(rows), knots, np.cumsum(rng.normal(0, 0.4, len(knots))))


def _level_shifts(rng: np.random.Generator, rows: int) -> Column:
    """Two sudden and lasting changes of level."""
    level = np.zeros(rows)
    for place in rng.uniform(0.05, 0.95, 2):
        level[int(place * rows) :] += rng.normal(0, 0.5)
    return level


def _noise(rng: np.random.Generator, season: Column) -> Column:
    """Autocorrelated noise, up to three times stronger where the daily cycle is high."""
    strength = 0.1 + 0.2 / (1 + np.exp(-2 * season))
    noise: Column = strength * autoregression(rng.normal(size=len(season)), [0.6])
    return noise


def _remove_stretches(rng: np.random.Generator, values: Column) -> None:
    longest = max(2, min(LONGEST_STRETCH, len(values) // 50))
    for _ in range(MISSING_STRETCHES):
        start = int(rng.integers(0, len(values) - longest))
        values[start : start + int(rng.integers(1, longest))] = np.nan
