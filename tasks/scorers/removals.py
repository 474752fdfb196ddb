"""Errors of the model with blocks skipped, measured on the calibration windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from tasks.masks.errors import mean_error, step_errors, window_errors
from tasks.masks.mask import Mask, first_mask
from tasks.masks.trie import MAX_BYTES
from tasks.models.base import ForecastModel


@dataclass(frozen=True)
class Removals:
    """Squared errors of the full model and with each block skipped.

    Attributes:
        errors: the full model first; 0 where the target is missing.
        observed: where the target is there.
    """

    errors: Float32[Tensor, "blocks+1 windows horizon"]
    observed: Bool[Tensor, "windows horizon"]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The windows of all parts, in order."""
        return cls(
            torch.cat([part.errors for part in parts], 1),
            torch.cat([part.observed for part in parts]),
        )

    def subset(self, rows: Tensor) -> Self:
        """Some of the windows, by number or as a mask."""
        return type(self)(self.errors[:, rows], self.observed[rows])

    def means(self) -> Float64[Tensor, " blocks+1"]:
        """Mean squared errors over the observed points; NaN where there is none."""
        sums = [row.sum(1, dtype=torch.float64).sum() for row in self.errors]
        return torch.stack(sums) / self.observed.sum()

    def step_means(self) -> Float64[Tensor, "blocks+1 horizon"]:
        """The same for every step of the horizon."""
        return self.errors.sum(1, dtype=torch.float64) / self.observed.sum(0)


@dataclass(frozen=True)
class GreedyRemovals:
    """Blocks removed one after the other, each time the one whose loss is smallest.

    Attributes:
        order: the blocks, first removed first.
        errors: mean squared error after each removal.
        full: mean squared error of the full model.
    """

    order: Mask
    errors: list[float]
    full: float


def measure_removals(
    model: ForecastModel, windows: Float[Tensor, "windows length"], *, max_bytes: int = MAX_BYTES
) -> Removals:
    """Every block skipped alone; all blocks before the skipped one are run only once."""
    whole = first_mask(model.num_blocks, model.num_blocks)
    masks = [whole, *(_without(whole, block) for block in whole)]
    windows = windows.to(next(model.parameters()).device)
    observed = torch.isfinite(windows[:, model.config.context :]).cpu()
    errors = step_errors(model, masks, windows, max_bytes=max_bytes)
    return Removals(torch.where(observed, errors, 0.0), observed)


def measure_greedy(
    model: ForecastModel, windows: Float[Tensor, "windows length"], *, max_bytes: int = MAX_BYTES
) -> GreedyRemovals:
    """Removes blocks until none is left; costs L (L + 1) / 2 masks. Ties: the later block goes."""
    windows = windows.to(next(model.parameters()).device)
    target = windows[:, model.config.context :]
    kept = first_mask(model.num_blocks, model.num_blocks)
    full = mean_error(window_errors(model, [kept], windows)[0], target)
    order: list[int] = []
    errors: list[float] = []
    while kept:
        masks = [_without(kept, block) for block in kept]
        sums = window_errors(model, masks, windows, max_bytes=max_bytes)
        measured = [mean_error(row, target) for row in sums]
        place = min(range(len(kept)), key=lambda place: (measured[place], -place))
        order.append(kept[place])
        errors.append(measured[place])
        kept = masks[place]
    return GreedyRemovals(tuple(order), errors, full)


def _without(mask: Mask, block: int) -> Mask:
    return tuple(other for other in mask if other != block)
