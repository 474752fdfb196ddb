"""What a mask costs: its share of blocks, or its measured latency relative to the full model."""

import statistics
import time
from typing import Literal

import torch

from tasks.masks.mask import Mask, first_mask
from tasks.models.native import NativeModel

BATCH = 64
REPEATS = 7


def cost_table(kind: Literal["share", "latency"], model: NativeModel) -> list[float]:
    """The cost of keeping k blocks, for k = 0 .. all; blocks of one stack cost the same.

    `share` is k over all blocks. `latency` is the median time of a forecast at batch 64 relative
    to the full model's, measured here, so it differs a little between runs.
    """
    total = model.num_blocks
    if kind == "share":
        return [kept / total for kept in range(total + 1)]
    context = torch.zeros(BATCH, model.config.context)
    times = [_latency(model, first_mask(total, kept), context) for kept in range(total + 1)]
    return [seconds / times[-1] for seconds in times]


@torch.inference_mode()
def _latency(model: NativeModel, mask: Mask, context: torch.Tensor) -> float:
    times: list[float] = []
    context = context.to(next(model.parameters()).device)
    with model.only(mask):
        for _ in range(REPEATS):
            started = time.perf_counter()
            model.forecast(context, model.config.horizon).mean.sum().item()
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
