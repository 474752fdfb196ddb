"""A learned gate per block: how much of its update the frozen network wants to keep.

Scaling factors on residual blocks under a sparsity penalty, as Huang and Wang (2018, arXiv
1707.01213) train them together with the network; here the network is frozen.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.base import ForecastModel
from tasks.models.stacks import first_input, first_output, with_hidden
from tasks.scorers.gradients import forecast_error
from tasks.sections.scoring import Gate


@dataclass(frozen=True)
class Gates:
    """The gates of all blocks after every step of their training; 0 .. 1."""

    path: Float[np.ndarray, "steps blocks"]


def learn_gates(
    model: ForecastModel,
    windows: Float[Tensor, "windows length"],
    batch_size: int,
    options: Gate,
    *,
    seed: int,
) -> Gates:
    """Trains g in h_l = h_{l-1} + g_l (block_l(h_{l-1}) - h_{l-1}), from 1, the network frozen.

    Minimises error / error of the full model + penalty * sum of the gates by Adam, on batches
    drawn from the windows with `seed`; gates are cut to 0 .. 1. So a block whose update saves
    less than about `penalty` of the error is driven to 0.
    """
    model.eval()
    device = next(model.parameters()).device
    windows = windows.to(device)
    blocks = model.all_blocks()
    with torch.no_grad():
        sums = [forecast_error(model, batch) * len(batch) for batch in windows.split(batch_size)]
        full = torch.stack(sums).sum() / len(windows)
    gates = torch.ones(len(blocks), device=device, requires_grad=True)
    optimizer = torch.optim.Adam([gates], lr=options.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    path: list[Tensor] = []
    for _ in range(options.steps):
        rows = torch.randint(len(windows), (batch_size,), generator=generator)
        with gated(blocks, gates):
            error = forecast_error(model, windows[rows.to(device)])
        loss = error / full.clamp(min=1e-12) + options.penalty * gates.sum()
        (gates.grad,) = torch.autograd.grad(loss, [gates])
        optimizer.step()
        with torch.no_grad():
            path.append(gates.clamp_(0, 1).detach().clone())
    return Gates(torch.stack(path).double().cpu().numpy())


@contextmanager
def gated(blocks: Sequence[nn.Module], gates: Float[Tensor, " blocks"]) -> Iterator[None]:
    """Inside the context the update of every block is multiplied by its gate."""
    hooks = [
        block.register_forward_hook(_gating(gate), with_kwargs=True)
        for block, gate in zip(blocks, gates, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _gating(gate: Tensor) -> Callable[..., Any]:
    def mix(_block: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        before = first_input(args, kwargs)
        return with_hidden(output, before + gate * (first_output(output) - before))

    return mix
