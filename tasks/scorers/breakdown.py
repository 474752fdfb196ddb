"""Forecast-aware removal loss: the same errors by horizon step, by series, by kind of window."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from tasks.artifacts.scoring import ErrorParts, RemovalBreakdown
from tasks.scorers.removals import Removals


def break_down(
    removals: Removals, series: Sequence[str], volatile: Bool[Tensor, " windows"]
) -> RemovalBreakdown:
    """The removal loss of every block in every part of the calibration windows.

    Args:
        removals: squared errors of the full model and without each block.
        series: the name of each window's series.
        volatile: whether each window's context is volatile.
    """
    names = sorted(set(series))
    of_series = [torch.tensor([one == name for one in series]) for name in names]
    steps = removals.step_means()
    return RemovalBreakdown(
        steps=_parts([str(step) for step in range(1, steps.shape[1] + 1)], steps),
        series=_parts(names, _by_windows(removals, of_series)),
        volatility=_parts(["calm", "volatile"], _by_windows(removals, [~volatile, volatile])),
    )


def _by_windows(
    removals: Removals, groups: Sequence[Bool[Tensor, " windows"]]
) -> Float64[Tensor, "blocks+1 groups"]:
    return torch.stack([removals.subset(group).means() for group in groups], 1)


def _parts(names: list[str], means: Float64[Tensor, "blocks+1 parts"]) -> ErrorParts:
    rise = means[1:] - means[0]
    return ErrorParts(names=names, full=_plain(means[0]), rise=[_plain(row) for row in rise])


def _plain(values: Float64[Tensor, " parts"]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
