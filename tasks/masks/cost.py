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
REPEATS = 7


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
    64 relative to the full model's, measured here, so it differs a little between runs; where
    blocks are of several kinds or in several stacks, what each of them adds is measured alone.
    """
    return share_costs(model.num_blocks) if cost == "share" else _latency_costs(model)


def share_costs(num_blocks: int) -> Costs:
    """The number of kept blocks over all."""
    return Costs(["block"] * num_blocks, [kept / num_blocks for kept in range(num_blocks + 1)])


def _latency_costs(model: ForecastModel) -> Costs:
    kinds = [
        f"{model.stack_of(block).path} {kind}" for block, kind in enumerate(model.block_kinds())
    ]
    context = torch.zeros(BATCH, model.config.context)
    rows: list[list[float]] = []
    for kind in dict.fromkeys(kinds):
        places = [block for block, own in enumerate(kinds) if own == kind]
        row = [_latency(model, tuple(places[:kept]), context) for kept in range(len(places) + 1)]
        rows.append([seconds - row[0] for seconds in row] if rows else row)
    full = sum(row[-1] for row in rows)
    return Costs(kinds, [seconds / full for row in rows for seconds in row])


@torch.inference_mode()
def _latency(model: ForecastModel, mask: Mask, context: torch.Tensor) -> float:
    times: list[float] = []
    context = context.to(next(model.parameters()).device)
    with model.only(mask):
        for _ in range(REPEATS):
            started = time.perf_counter()
            model.forecast(context, model.config.horizon).mean.sum().item()
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
