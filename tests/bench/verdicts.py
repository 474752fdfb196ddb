"""How often is each verdict given, and how often wrongly? Simulated errors with known truth.

`python -m tests.bench.verdicts` writes reports/verdicts.csv and prints it (some minutes on one
core). Each window's error is the mean over its horizon of squared errors at points of time, so
windows overlap; both models share the points' level, which follows a log-normal autoregression
(calm and volatile times) over several channels, and each has a disturbance of its own, an
autoregression too. Standard deviations and autocorrelations are near those of real test errors:
the full model's error by offset varies by 0.4 to 0.9 of its mean, the difference of both by 0.12
to 0.17 of it, with a kurtosis of 7 to 27 (ETTh1 and weather, horizon 96).
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.signal import lfilter

from tasks.artifacts.evaluation import Verdict
from tasks.artifacts.files import write_csv
from tasks.metrics.diebold import diebold_mariano
from tasks.metrics.paired import block_length_for, compare
from tasks.sections.judging import Evaluation

CONTEXT, CHANNELS = 512, 4
MARGIN, ALPHA = Evaluation().margin, Evaluation().alpha
SAMPLES = Evaluation().bootstrap_samples
DIFFERENCES = (-0.02, 0.0, 0.01, 0.02, 0.03, 0.05)
AT_BOUNDARY, ELSEWHERE = 2000, 500  # simulations
BATCH = 25
TESTS = ("bootstrap", "diebold_mariano")
VERDICTS: tuple[Verdict, ...] = ("superior", "non-inferior", "inconclusive", "inferior")

Errors = Float64[np.ndarray, "simulations offsets"]


@dataclass(frozen=True)
class Shape:
    """Test windows as a dataset gives them."""

    name: str
    offsets: int
    stride: int
    horizon: int = 96

    @property
    def points(self) -> int:
        """Points of time that the windows' targets cover."""
        return (self.offsets - 1) * self.stride + self.horizon


@dataclass(frozen=True)
class Noise:
    """How the errors behave in time; deviations are of logarithms, memories of one row."""

    name: str
    level_memory: float  # first autocorrelation of the level that both models share
    level_deviation: float
    own: Literal["windows", "points"]  # what each model's own disturbance belongs to
    own_memory: float
    full_deviation: float
    pruned_deviation: float


SHAPES = (
    Shape("etth1, stride 1", 2785, 1),
    Shape("etth1, stride 4", 697, 4),
    Shape("weather, stride 4", 2611, 4),
    Shape("exchange_rate, horizon 336, stride 8", 148, 8, 336),  # three blocks, no more
)
NOISES = (
    Noise("as on ETTh1", 0.995, 0.5, "windows", 0.8, 0.2, 0.2),
    Noise("as on weather", 0.98, 1.2, "windows", 0.96, 0.2, 0.2),
    Noise("by overlap alone", 0.98, 0.7, "points", 0.8, 0.4, 0.4),
    Noise("long memory", 0.995, 0.7, "points", 0.98, 0.2, 0.2),
    Noise("pruned model fails in bursts", 0.98, 0.7, "windows", 0.95, 0.1, 0.6),
)


def autoregression(
    generator: np.random.Generator, shape: tuple[int, ...], memory: float
) -> Float64[np.ndarray, "*batch time"]:
    """Stationary normal AR(1) processes along the last axis, mean 0 and variance 1."""
    noise = generator.standard_normal(shape)
    noise[..., 1:] *= np.sqrt(1 - memory**2)
    found: Float64[np.ndarray, "*batch time"] = lfilter([1], [1, -memory], noise, axis=-1)
    return found


def simulate(
    shape: Shape, noise: Noise, count: int, generator: np.random.Generator
) -> tuple[Errors, Errors]:
    """Errors by offset of a full and a pruned model whose expectations are the same, 1."""
    size = (count, CHANNELS, shape.points)
    common = autoregression(generator, (count, 1, shape.points), noise.level_memory)
    own = autoregression(generator, size, noise.level_memory)
    level = lognormal((common + own) / np.sqrt(2), noise.level_deviation)
    level *= generator.standard_normal(size) ** 2
    made = []
    for deviation in (noise.full_deviation, noise.pruned_deviation):
        disturbance = lognormal(autoregression(generator, size, noise.own_memory), deviation)
        if noise.own == "points":
            errors = window_means(level * disturbance, shape.horizon)
        else:
            errors = window_means(level, shape.horizon) * disturbance[..., : -shape.horizon + 1]
        made.append(errors.mean(axis=1)[:, :: shape.stride])
    return made[0], made[1]


def lognormal(
    process: Float64[np.ndarray, "*batch time"], deviation: float
) -> Float64[np.ndarray, "*batch time"]:
    """exp(deviation process) over its expectation, for a standard normal process."""
    found: Float64[np.ndarray, "*batch time"] = np.exp(deviation * process - deviation**2 / 2)
    return found


def window_means(
    points: Float64[np.ndarray, "*batch points"], horizon: int
) -> Float64[np.ndarray, "*batch starts"]:
    """The mean of every window of `horizon` points."""
    sums = np.cumsum(points, axis=-1)
    sums[..., horizon:] -= sums[..., :-horizon].copy()
    found: Float64[np.ndarray, "*batch starts"] = sums[..., horizon - 1 :] / horizon
    return found


def pairs(shape: Shape, noise: Noise, count: int, seed: int) -> Iterator[tuple[Errors, Errors]]:
    """`count` simulated pairs of errors by offset, one after the other."""
    generator = np.random.default_rng([seed, shape.offsets, shape.stride, NOISES.index(noise)])
    for done in range(0, count, BATCH):
        full, pruned = simulate(shape, noise, min(BATCH, count - done), generator)
        yield from zip(full, pruned, strict=True)


def verdicts_on(
    full: Float64[np.ndarray, " offsets"],
    pruned: Float64[np.ndarray, " offsets"],
    *,
    shape: Shape,
    generator: np.random.Generator,
) -> tuple[Verdict, Verdict]:
    """What the bootstrap says and what Diebold and Mariano's test says."""
    length = block_length_for(
        len(full), context=CONTEXT, horizon=shape.horizon, stride=shape.stride
    )
    bootstrap = compare(
        full,
        pruned,
        block_length=length,
        margin=MARGIN,
        alpha=ALPHA,
        samples=SAMPLES,
        generator=generator,
    )
    overlap = -(-shape.horizon // shape.stride)
    diebold = diebold_mariano(full, pruned, overlap=overlap, margin=MARGIN, alpha=ALPHA)
    return bootstrap.verdict, diebold.verdict


def shares(shape: Shape, noise: Noise, *, at_boundary: int, elsewhere: int) -> pd.DataFrame:
    """How often each verdict is given at each true difference, by both tests."""
    given: Counter[tuple[float, str, Verdict]] = Counter()
    generator = np.random.default_rng([1, shape.offsets, shape.stride])
    for number, (full, pruned) in enumerate(pairs(shape, noise, at_boundary, seed=0)):
        for difference in DIFFERENCES:
            if number < elsewhere or difference == MARGIN:
                found = verdicts_on(
                    full, (1 + difference) * pruned, shape=shape, generator=generator
                )
                given.update(
                    (difference, test, one) for test, one in zip(TESTS, found, strict=True)
                )
    rows = []
    for difference in DIFFERENCES:
        count = at_boundary if difference == MARGIN else min(elsewhere, at_boundary)
        for test in TESTS:
            rows.append(
                {"shape": shape.name, "noise": noise.name, "difference": difference, "test": test}
                | {verdict: given[difference, test, verdict] / count for verdict in VERDICTS}
                | {"simulations": count}
            )
    return pd.DataFrame(rows)


def simulation_table(*, at_boundary: int = AT_BOUNDARY, elsewhere: int = ELSEWHERE) -> pd.DataFrame:
    """`shares` for every shape and noise."""
    parts = [
        shares(shape, noise, at_boundary=at_boundary, elsewhere=elsewhere)
        for shape in SHAPES
        for noise in NOISES
    ]
    return pd.concat(parts, ignore_index=True)


def false_share(table: pd.DataFrame, *, test: str) -> float:
    """The largest share of simulations in which a truly inferior model is called non-inferior.

    Inferior: its true difference is the margin or more. `superior` counts as well.
    """
    inferior = table[(table["difference"] >= MARGIN) & (table["test"] == test)]
    return float((inferior["superior"] + inferior["non-inferior"]).max())


def false_superior(table: pd.DataFrame, *, test: str) -> float:
    """The largest share in which a model that is no better is called superior."""
    equal = table[(table["difference"] >= 0) & (table["test"] == test)]
    return float(equal["superior"].max())


def false_inferior(table: pd.DataFrame, *, test: str) -> float:
    """The largest share in which a model within the margin is called inferior."""
    within = table[(table["difference"] <= MARGIN) & (table["test"] == test)]
    return float(within["inferior"].max())


def power(table: pd.DataFrame, *, test: str, shape: str, noise: str, difference: float) -> float:
    """The share of simulations in which the pruned model is called non-inferior or superior."""
    chosen = (table["test"] == test) & (table["shape"] == shape) & (table["noise"] == noise)
    row = table[chosen & (table["difference"] == difference)].iloc[0]
    return float(row["superior"] + row["non-inferior"])


def main() -> None:
    """Simulates, prints the table and writes reports/verdicts.csv."""
    argparse.ArgumentParser(
        prog="python -m tests.bench.verdicts",
        description="How often verdicts err, simulated: reports/verdicts.csv; minutes on one core.",
    ).parse_args()
    table = simulation_table()
    print(table.to_string(index=False))
    write_csv(Path("reports/verdicts.csv"), table)


if __name__ == "__main__":
    main()
