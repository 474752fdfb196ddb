"""Gradients of the forecast error by every weight of the blocks, over the calibration windows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.base import ForecastModel


@dataclass(frozen=True)
class Gradients:
    """For every block, by name of the parameter: sum |dL/dW * W|, mean over batches."""

    saliency: list[dict[str, float]]


def forecast_error(
    model: ForecastModel, windows: Float[Tensor, "batch length"]
) -> Float[Tensor, ""]:
    """Mean squared error of the forecasts over the observed targets, with its graph.

    Raises ParamsError where the family forecasts so far without a graph.
    """
    context = model.config.context
    target = windows[:, context:]
    observed = torch.isfinite(target)
    forecast = model.forecast(windows[:, :context], target.shape[1]).mean
    if torch.is_grad_enabled() and not forecast.requires_grad:
        raise ParamsError(
            f"scoring.scores: taylor and gate need gradients, and {model.config.family} gives none "
            f"for {target.shape[1]} steps, more than it forecasts at once; leave both out, or set "
            "a shorter windows.horizon"
        )
    error = forecast - target
    return torch.where(observed, error, 0.0).square().sum() / observed.sum().clamp(min=1)


@contextmanager
def requiring_gradients(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside the context all these parameters take part in the graph, frozen ones too."""
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, required in zip(parameters, before, strict=True):
            parameter.requires_grad_(required)


def measure_gradients(
    model: ForecastModel, windows: Float[Tensor, "windows length"], batch_size: int
) -> Gradients:
    """One backward pass over the windows; `grad` and `requires_grad` stay as they were.

    Batches count by their windows, so a short last one does not weigh as much as the others.
    """
    model.eval()
    device = next(model.parameters()).device
    blocks = model.all_blocks()
    named = [(place, name, p) for place, b in enumerate(blocks) for name, p in b.named_parameters()]
    weights = [parameter for _, _, parameter in named]
    saliency: list[dict[str, float]] = [{} for _ in blocks]
    with requiring_gradients(weights):
        for batch in windows.split(batch_size):
            loss = forecast_error(model, batch.to(device))
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            share = len(batch) / len(windows)
            for (place, name, weight), gradient in zip(named, gradients, strict=True):
                effect = float((gradient * weight.detach()).abs().sum(dtype=torch.float64))
                saliency[place][name] = saliency[place].get(name, 0.0) + effect * share
    return Gradients(saliency)
