"""What a mask costs: its share of blocks, or its measured latency relative to the full model."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from tasks.masks.mask import Mask
from tasks.models.base import ForecastModel

BATCH = 64
ROUNDS = 16  # the first warms up


@dataclass(frozen=True)
class Costs:
    """The cost of every mask; blocks of one kind cost the same.

    Attributes:
        kinds: the kind of every block.
        table: kind after kind, as they first come, the cost of keeping k = 0 .. all blocks of it.
            A mask costs the sum over the kinds.
    """

    kinds: Sequence[str]
    table: list[float]

    def of(self, mask: Mask, table: Sequence[float]) -> float:
        """The cost of a mask by `table`, this one or that of another process."""
        cost, row = 0.0, 0
        for kind in dict.fromkeys(self.kinds):
            cost += table[row + sum(self.kinds[block] == kind for block in mask)]
            row += self.kinds.count(kind) + 1
        return cost


def costs_of(cost: Literal["share", "latency"], model: ForecastModel) -> Costs:
    """The costs of a model's masks.

    `share` counts blocks, whatever their kind. `latency` is the median time of a forecast at batch
    64 relative to the full model's, measured here, so it differs a little between runs: that of no
    block, plus for every block an equal part of what all blocks of its kind and stack add, alone.
    However noisy the times, a block never makes a model faster.
    """
    return share_costs(model.num_blocks) if cost == "share" else _latency_costs(model)


def share_costs(num_blocks: int) -> Costs:
    """The number of kept blocks over all."""
    return Costs(["block"] * num_blocks, [kept / num_blocks for kept in range(num_blocks + 1)])


def _latency_costs(model: ForecastModel) -> Costs:
    kinds = [
        f"{model.stack_of(block).path} {kind}" for block, kind in enumerate(model.block_kinds())
    ]
    places = {kind: [b for b, own in enumerate(kinds) if own == kind] for kind in kinds}
    none, *alone = _latencies(model, [(), *map(tuple, places.values())])
    added = [max(seconds - none, 0.0) for seconds in alone]
    full = none + sum(added)
    table: list[float] = []
    for blocks, seconds in zip(places.values(), added, strict=True):
        start = 0.0 if table else none  # with the first kind
        shares = (kept / len(blocks) for kept in range(len(blocks) + 1))
        table += [(start + seconds * share) / full for share in shares]
    return Costs(kinds, table)


@torch.inference_mode()
def _latencies(model: ForecastModel, masks: Sequence[Mask]) -> list[float]:
    """The median seconds of a forecast with each mask; in turns, so that a lull serves them all."""
    context = torch.zeros(BATCH, model.config.context, device=next(model.parameters()).device)
    times: list[list[float]] = [[] for _ in masks]
    for _ in range(ROUNDS):
        for mask, own in zip(masks, times, strict=True):
            with model.only(mask):
                started = time.perf_counter()
                model.forecast(context, model.config.horizon).mean.sum().item()
                own.append(time.perf_counter() - started)
    return [statistics.median(own[1:]) for own in times]
