"""Removal loss of attention and MLP apart, where the model family can drop them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.base import ForecastModel
from tasks.training.loop import validation_mse


def sublayer_losses(
    model: ForecastModel, windows: Float[Tensor, "windows length"]
) -> dict[str, list[float]]:
    """By kind, for every block: the error without this part of it minus the full model's error.

    In units of the squared error. Every part is measured alone, so a model of L blocks costs 2 L
    evaluations; empty where the family cannot drop parts of a block.
    """
    windows = windows.to(next(model.parameters()).device)
    full = validation_mse(model, windows)
    losses: dict[str, list[float]] = {}
    for kind, parts in model.sublayers().items():
        losses[kind] = []
        for part in parts:
            with silenced(part):
                losses[kind].append(validation_mse(model, windows) - full)
    return losses


@contextmanager
def silenced(part: nn.Module) -> Iterator[None]:
    """Inside the context the part adds nothing to the residual stream."""

    def silence(_part: nn.Module, _args: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return torch.zeros_like(output)
        update, *rest = output
        return type(output)((torch.zeros_like(update), *rest))

    hook = part.register_forward_hook(silence)
    try:
        yield
    finally:
        hook.remove()
