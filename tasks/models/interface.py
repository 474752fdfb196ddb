"""What models give to scores, search, healing and evaluation: forecasts, outputs, traces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tasks.errors import ParamsError


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
    on the scale of the data. `positions` is 1, or the number of tokens for a per-token head. `loss`
    is the family's own training loss (of quantiles, tokens, a likelihood), where it has one.
    """

    prediction: Float[Tensor, "batch positions horizon"]
    target: Float[Tensor, "batch positions horizon"]
    observed: Bool[Tensor, "batch positions horizon"]
    scale: Float[Tensor, "batch 1 1"]
    loss: Float[Tensor, ""] | None = None


@dataclass(frozen=True, kw_only=True)
class LossSpec:
    """Which loss: squared or Huber (delta 1), on data scale or normalised by the window.

    `native` is the family's own; two models' forecasts are compared by the squared error then.
    """

    kind: Literal["mse", "huber", "native"] = "mse"
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
    observed, error = outputs.observed, F.huber_loss if spec.kind == "huber" else F.mse_loss
    # no error, and so no gradient, where nothing was observed
    target = torch.where(observed, target, prediction.detach())
    if spec.last_weight == 1:
        return error(prediction, target, reduction="sum") / observed.sum().clamp(min=1)
    losses = error(prediction, target, reduction="none")
    weights = torch.ones(losses.shape[1], device=losses.device)
    weights[-1] = spec.last_weight
    total = (losses.sum((0, 2)) * weights).sum()
    return total / (observed.sum((0, 2)) * weights).sum().clamp(min=1)


def task_loss(outputs: Outputs, spec: LossSpec) -> Float[Tensor, ""]:
    """The loss that training on the targets minimises. Lower is better."""
    if spec.kind != "native":
        return loss_between(outputs.prediction, outputs.target, outputs, spec)
    if outputs.loss is None:
        raise ParamsError(
            "training.loss: native needs a model with a loss of its own; this one has none; set "
            "mse or huber"
        )
    return outputs.loss
