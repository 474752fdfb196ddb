"""What every model offers to scores, search, healing and evaluation; they know nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tasks.models.stacks import BlockKind
from tasks.models.walk import Walk


@dataclass(frozen=True)
class Forecast:
    """Forecasts on the scale of the context; `quantiles` only where the model has them."""

    mean: Float[Tensor, "batch horizon"]
    quantiles: Mapping[float, Float[Tensor, "batch horizon"]] | None = None


@dataclass(frozen=True)
class Trace:
    """Inner states of one batch: residual stream h_0 .. h_L, and attention where it is exposed."""

    hidden: Float[Tensor, "states batch tokens width"]
    attention: Float[Tensor, "blocks batch heads tokens tokens"] | None


@dataclass(frozen=True)
class Outputs:
    """All forecasts a model makes on a batch of windows, with their targets.

    Predictions and targets are normalised by the window's context; times `scale` they are back
    on the scale of the data. `positions` is 1, or the number of tokens for a per-token head.
    """

    prediction: Float[Tensor, "batch positions horizon"]
    target: Float[Tensor, "batch positions horizon"]
    observed: Bool[Tensor, "batch positions horizon"]
    scale: Float[Tensor, "batch 1 1"]


@dataclass(frozen=True, kw_only=True)
class LossSpec:
    """Which loss: squared or Huber (delta 1), on data scale or normalised by the window."""

    kind: Literal["mse", "huber"] = "mse"
    space: Literal["scaled", "normalised"] = "scaled"
    target_clip: float | None = None  # |normalised target| is cut here
    last_weight: float = 1.0  # of the last position, the one that forecasts, over the others


def loss_between(
    prediction: Float[Tensor, "batch positions horizon"],
    target: Float[Tensor, "batch positions horizon"],
    outputs: Outputs,
    spec: LossSpec,
) -> Float[Tensor, ""]:
    """Mean loss over the observed points. Lower is better."""
    if spec.target_clip is not None:
        target = target.clamp(-spec.target_clip, spec.target_clip)
    if spec.space == "scaled":
        prediction, target = prediction * outputs.scale, target * outputs.scale
    observed, error = outputs.observed, F.mse_loss if spec.kind == "mse" else F.huber_loss
    # no error, and so no gradient, where nothing was observed
    target = torch.where(observed, target, prediction.detach())
    if spec.last_weight == 1:
        return error(prediction, target, reduction="sum") / observed.sum().clamp(min=1)
    losses = error(prediction, target, reduction="none")
    weights = torch.ones(losses.shape[1], device=losses.device)
    weights[-1] = spec.last_weight
    total = (losses.sum((0, 2)) * weights).sum()
    return total / (observed.sum((0, 2)) * weights).sum().clamp(min=1)


class ForecastModel(Protocol):
    """The model interface.

    Blocks are numbered over all stacks in order; `keep` always means these flat numbers.
    """

    @property
    def num_blocks(self) -> int:
        """Blocks over all stacks."""
        ...

    @property
    def kept(self) -> tuple[int, ...]:
        """Original numbers of the blocks, so that a pruned model can be pruned again."""
        ...

    @property
    def label(self) -> str:
        """Backbone and origin of its weights, for people."""
        ...

    def blocks(self) -> dict[str, Sequence[nn.Module]]:
        """The blocks by stack name."""
        ...

    def sublayers(self) -> dict[BlockKind, Sequence[nn.Module]]:
        """By kind, the part of every block whose output is added to the residual stream.

        Empty where the parts of a block cannot be dropped alone.
        """
        ...

    def block_kinds(self) -> list[BlockKind]:
        """What every block is; blocks of one kind cost the same."""
        ...

    def with_blocks(self, keep: Sequence[int]) -> Self:
        """A new, smaller model with copies of the kept blocks, strictly loaded."""
        ...

    def only(self, keep: Sequence[int]) -> AbstractContextManager[None]:
        """Inside the context this model runs just the kept blocks; nothing is copied."""
        ...

    def outputs(self, window: Float[Tensor, "batch length"]) -> Outputs:
        """Predictions and targets on windows of context + horizon values, NaN = missing."""
        ...

    def forecast(self, context: Float[Tensor, "batch context"], horizon: int) -> Forecast:
        """Forecasts of the next `horizon` values; NaN in the context = missing."""
        ...

    def walk(self, context: Float[Tensor, "batch context"]) -> Walk:
        """A batch before its first block, to go through the blocks one at a time."""
        ...

    def trainable(self) -> Iterator[nn.Parameter]:
        """The parameters that training and healing change."""
        ...

    def parameter_counts(self) -> dict[str, int]:
        """Counts "all", "blocks" and "used" (in a forecast)."""
        ...

    def save(self, folder: Path) -> None:
        """Writes config.json and safetensors."""
        ...
