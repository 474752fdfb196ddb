"""Calibration windows: how they are drawn, and how restless their contexts are."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tasks.data.series import SeriesSet
from tasks.data.windows import WindowSet, training_windows, validation_windows
from tasks.sections.data import Windows
from tasks.sections.scoring import DrawName

POOL = 32  # a stratified draw looks at this many windows for each one it takes


@dataclass(frozen=True)
class Calibration:
    """Drawn windows: their places in the source, sorted, each at most once."""

    draw: DrawName
    index: Int64[Tensor, " windows"]


def calibration_source(
    data: SeriesSet, windows: Windows, source: Literal["validation", "training"]
) -> WindowSet:
    """The windows that calibration draws from; never the test range."""
    if source == "training":
        return training_windows(data, windows.context, windows.horizon)
    return validation_windows(data, windows.context, windows.horizon, part=0.5)


def draw_windows(source: WindowSet, count: int, draw: DrawName, *, seed: int) -> Calibration:
    """At most `count` different windows of a source.

    `spaced` takes them evenly over the source, whatever the seed; `random` takes all windows
    alike; `stratified` takes as many of every series and, within it, of calm and of volatile
    contexts (see `is_volatile`) as there are, from a random pool of 32 times the count.
    """
    if draw == "spaced":
        return Calibration(draw, source.spaced(count))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(source), generator=generator)
    if draw == "stratified":
        pool = order[: POOL * count]
        order = pool[_by_turns(_strata(source, pool))]
    return Calibration(draw, order[:count].sort().values)


def volatility(contexts: Float[Tensor, "windows context"]) -> Float[Tensor, " windows"]:
    """Standard deviation of the differences of neighbours, both observed; 0 where there is none."""
    steps = contexts.double().diff(dim=1)
    observed = torch.isfinite(steps)
    count = observed.sum(1).clamp(min=1)
    mean = torch.where(observed, steps, 0.0).sum(1) / count
    centred = torch.where(observed, steps - mean[:, None], 0.0)
    return (centred.square().sum(1) / count).sqrt()


def is_volatile(volatilities: Float[Tensor, " windows"]) -> Bool[Tensor, " windows"]:
    """Whether a window is above the (lower) median of all these windows."""
    return volatilities > volatilities.median()


def _strata(source: WindowSet, pool: Int64[Tensor, " pool"]) -> Int64[Tensor, " pool"]:
    series, _ = source.locate(pool)
    values = torch.cat(
        [volatility(source.batch(part)[:, : source.context]) for part in pool.split(1024)]
    )
    return 2 * series + is_volatile(values)


def _by_turns(strata: Int64[Tensor, " pool"]) -> Int64[Tensor, " pool"]:
    """An order of places in which every stratum has its first, then every its second, ..."""
    grouped = strata.argsort(stable=True)
    _, sizes = strata[grouped].unique_consecutive(return_counts=True)
    first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    turn = torch.empty_like(strata)
    turn[grouped] = torch.arange(len(strata)) - first
    return turn.argsort(stable=True)
