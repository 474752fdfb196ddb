"""AdamW with warm-up and cosine decay."""

import math
from collections.abc import Iterable

import torch
from torch import nn

FLOOR = 0.01  # of the peak rate, at the last step


def learning_rate_at(step: int, *, steps: int, peak: float, warmup_share: float) -> float:
    """The rate of optimizer step `step` (from 1): linear warm-up, then cosine to a hundredth."""
    warmup = max(1, round(steps * warmup_share))
    if step <= warmup:
        return peak * step / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (FLOOR + (1 - FLOOR) / 2 * (1 + math.cos(math.pi * min(1.0, progress))))


def adamw(
    parameters: Iterable[nn.Parameter], *, betas: tuple[float, float], weight_decay: float
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); matrices decay, vectors (norms, biases) do not."""
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for parameter in parameters:
        (matrices if parameter.ndim > 1 else vectors).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=1e-3, betas=betas, fused=True)
