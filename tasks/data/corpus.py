"""The synthetic corpus: a few hundred generated series of different kinds, for pretraining.

In the spirit of KernelSynth (Ansari et al. 2024, Chronos): random structures, not random noise.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from tasks.data.synthetic import autoregression

SERIES_PER_KIND = 60
SHORTEST, LONGEST = 512, 2048
PERIODS = (4, 7, 12, 24, 48, 52, 96, 144, 168, 288, 336)

Column = Float64[np.ndarray, " rows"]


def corpus_table(seed: int) -> pa.Table:
    """A collection (dataset, item_id, freq, start, target): 60 series of each kind."""
    rng = np.random.default_rng(seed)
    kinds: dict[str, Callable[[np.random.Generator, int], Column]] = {
        "seasonal": _seasonal,
        "kernel": _kernel,
        "autoregressive": _autoregressive,
        "trend": _trend,
        "intermittent": _intermittent,
        "regime": _regime,
    }
    names, items, targets = [], [], []
    for kind, make in kinds.items():
        for item in range(SERIES_PER_KIND):
            rows = int(rng.integers(SHORTEST, LONGEST + 1))
            names.append(f"synthetic_{kind}")
            items.append(f"{item:03d}")
            targets.append(np.round(make(rng, rows), 5).astype(np.float32))
    blank = pa.nulls(len(names), pa.string())
    return pa.table(
        {
            "dataset": pa.array(names, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "freq": blank,
            "start": blank,
            "target": pa.array(targets, pa.list_(pa.float32())),
        }
    )


def _cycle(rng: np.random.Generator, rows: int, period: int) -> Column:
    """A periodic shape of random harmonics with unit deviation."""
    place = np.arange(rows) / period
    shape = np.zeros(rows)
    for harmonic in range(1, int(rng.integers(2, 6))):
        size, phase = rng.normal() / harmonic, rng.uniform(0, 2 * np.pi)
        shape += size * np.sin(2 * np.pi * harmonic * place + phase)
    standard: Column = shape / (shape.std() + 1e-9)
    return standard


def _smooth(rng: np.random.Generator, rows: int) -> Column:
    """A draw from a Gaussian process with a squared-exponential kernel (64 random features)."""
    length = rows * 10 ** rng.uniform(-2, -0.3)
    frequencies = rng.normal(size=64) / length
    phases = rng.uniform(0, 2 * np.pi, 64)
    waves = np.cos(np.arange(rows)[:, None] * frequencies + phases)  # [rows, features]
    draw: Column = waves @ rng.normal(size=64) * np.sqrt(2 / 64)
    return draw


def _white(rng: np.random.Generator, rows: int) -> Column:
    return rng.normal(0, 10 ** rng.uniform(-2, -0.3), rows)


def _seasonal(rng: np.random.Generator, rows: int) -> Column:
    """One to three cycles, one of them swelling slowly, and noise."""
    values = _white(rng, rows)
    for period in rng.choice(PERIODS, int(rng.integers(1, 4)), replace=False):
        swell = 1 + 0.5 * np.tanh(_smooth(rng, rows)) if rng.random() < 0.5 else 1.0
        values = values + rng.uniform(0.3, 1) * swell * _cycle(rng, rows, int(period))
    return values


def _kernel(rng: np.random.Generator, rows: int) -> Column:
    """Two to five random functions (cycle, smooth, line), each added or multiplied."""
    makers: tuple[Callable[[], Column], ...] = (
        lambda: _cycle(rng, rows, int(rng.choice(PERIODS))),
        lambda: _smooth(rng, rows),
        lambda: rng.normal() * np.linspace(-1, 1, rows),
    )
    values = makers[int(rng.integers(3))]()
    for _ in range(int(rng.integers(1, 5))):
        other = makers[int(rng.integers(3))]()
        values = values + other if rng.random() < 0.6 else values * other
    noisy: Column = values + _white(rng, rows)
    return noisy


def _autoregressive(rng: np.random.Generator, rows: int) -> Column:
    """A stationary second-order process with a random period and memory."""
    memory, angle = rng.uniform(0.6, 0.99), 2 * np.pi / rng.uniform(4, 100)
    return autoregression(rng.normal(size=rows), [2 * memory * np.cos(angle), -(memory**2)])


def _trend(rng: np.random.Generator, rows: int) -> Column:
    """A piecewise line or a curve of growth, with a cycle and noise."""
    knots = np.linspace(0, rows, int(rng.integers(3, 8)))
    line = np.interp(np.arange(rows), knots, np.cumsum(rng.normal(size=len(knots))))
    if rng.random() < 0.3:
        line = np.exp(np.clip(line, -3, 3))
    cycle = rng.uniform(0, 0.5) * _cycle(rng, rows, int(rng.choice(PERIODS)))
    values: Column = line + cycle + _white(rng, rows)
    return values


def _intermittent(rng: np.random.Generator, rows: int) -> Column:
    """Counts that are mostly zero, with a demand that comes and goes in a cycle."""
    rate = rng.uniform(0.1, 2) * np.exp(0.8 * _cycle(rng, rows, int(rng.choice(PERIODS))))
    return rng.poisson(np.clip(rate, 0, 50)).astype(np.float64)


def _regime(rng: np.random.Generator, rows: int) -> Column:
    """Two levels with noise of their own, between which the series jumps, and a cycle."""
    jumps = rng.random(rows) < 1 / rng.uniform(50, 400)
    state = np.cumsum(jumps) % 2
    level, strength = rng.normal(0, 2, 2)[state], rng.uniform(0.05, 0.8, 2)[state]
    cycle = rng.uniform(0, 1) * _cycle(rng, rows, int(rng.choice(PERIODS)))
    values: Column = level + cycle + strength * rng.normal(size=rows)
    return values
