"""Losses over masks whose optimum is known, and studies that run on them without a model."""

import itertools
from collections.abc import Mapping, Sequence
from math import exp

import numpy as np
import optuna
import pandas as pd
from optuna.storages import BaseStorage, InMemoryStorage

from tasks.masks.cost import share_costs
from tasks.masks.mask import Mask
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.queue import StudyQueue
from tasks.searchers.study import Gauge, Plan, run_study
from tasks.sections.search import Search
from tests.tiny import tiny_model, tiny_windows


def loss_table(num_blocks: int, sizes: Sequence[int], seed: int) -> dict[Mask, float]:
    """Errors of all masks of these sizes: gains of blocks, of pairs, most by the first block.

    Neighbouring blocks do much the same, so keeping both gains less than their sum.
    """
    rng = np.random.default_rng(seed)
    gains = 0.1 + 0.3 * rng.random(num_blocks)
    gains[0] = 0.6
    pairs = np.triu(0.08 * rng.standard_normal((num_blocks, num_blocks)), 1)
    table: dict[Mask, float] = {}
    for size in sizes:
        for mask in itertools.combinations(range(num_blocks), size):
            both = list(itertools.combinations(mask, 2))
            overlap = sum(0.15 * exp(-abs(a - b) / 2) for a, b in both)
            gain = sum(gains[list(mask)]) + sum(pairs[a, b] for a, b in both) - overlap
            table[mask] = float(np.exp(-gain))
    return table


def gauge_of(
    table: Mapping[Mask, float],
    options: Search,
    *,
    num_blocks: int,
    proposals: Sequence[tuple[str, Mask]] = (),
    seed: int = 0,
) -> Gauge:
    """A gauge that finds the error of every mask in the table."""
    evaluator = MaskEvaluator(tiny_model(blocks=2), tiny_windows(2))
    evaluator.memo.update(table)
    plan = Plan(
        name="study",
        num_blocks=num_blocks,
        sizes=sorted({len(mask) for mask in table}),
        proposals=list(proposals),
        costs=share_costs(num_blocks),
        seed=seed,
    )
    return Gauge(plan, options, evaluator)


def study_on(gauge: Gauge, storage: BaseStorage | None = None) -> pd.DataFrame:
    """The trials of a study run to its end, in memory unless a storage is given."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    queue = StudyQueue.create(storage or InMemoryStorage(), gauge.plan.name)
    return run_study(gauge, queue, "search")
