"""The search over sublayers: any sampler proposes masks of them, and the best is found."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from tasks.masks.cost import share_costs
from tasks.masks.mask import Mask
from tasks.models.sublayers import split_blocks
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.process import MaskKernel, similarity
from tasks.searchers.queue import StudyQueue
from tasks.searchers.study import Gauge, Plan, run_study
from tasks.sections.search import Search
from tests.tiny import tiny_model, tiny_windows

UNITS, SIZE = 6, 3
EVERY = list(itertools.combinations(range(UNITS), SIZE))


@pytest.fixture(scope="module")
def evaluator() -> MaskEvaluator:
    return MaskEvaluator(split_blocks(tiny_model(blocks=3)), tiny_windows(70))


def trials_of(evaluator: MaskEvaluator, **options: object):
    plan = Plan(
        name="study",
        num_blocks=UNITS,
        sizes=[SIZE],
        proposals=[("score", (0, 1, 2))],
        costs=share_costs(UNITS),
        seed=0,
        num_kinds=2,
    )
    queue = StudyQueue.create(InMemoryStorage(), "study")
    return run_study(Gauge(plan, Search(**options), evaluator), queue, "search")


def test_the_exhaustive_search_finds_the_best_mask(evaluator):
    trials = trials_of(evaluator, exhaustive_limit=100, racing=False)
    errors = dict(zip(EVERY, evaluator.errors(EVERY), strict=True))
    best = trials.loc[trials["valid_mse"].idxmin()]
    assert len(trials) == len(EVERY)
    assert best["keep"] == " ".join(map(str, min(errors, key=lambda mask: errors[mask])))
    assert (trials["cost"] == 0.5).all()


@pytest.mark.parametrize("sampler", ["surrogate", "swap"])
def test_our_samplers_find_it_without_measuring_all(evaluator, sampler):
    trials = trials_of(evaluator, exhaustive_limit=0, trials=16, sampler=sampler, batch=1)
    assert len(trials) == trials["keep"].nunique() == 16 < len(EVERY)
    assert trials["valid_mse"].min() == min(evaluator.errors(EVERY))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random"])
def test_every_sampler_proposes_masks_of_sublayers(evaluator, sampler):
    trials = trials_of(evaluator, exhaustive_limit=0, trials=12, sampler=sampler)
    masks = {tuple(map(int, keep.split())) for keep in trials["keep"]}
    assert masks <= set(EVERY)
    assert any(5 in mask for mask in masks)


def test_neighbours_of_the_same_kind_are_more_alike():
    def table(masks: Sequence[Mask], num_units: int, num_kinds: int) -> np.ndarray:
        vectors = MaskKernel(num_units, num_kinds).vectors(masks)
        return similarity(vectors, vectors)

    masks = [(4,), (5,), (6,), (7,)]
    np.testing.assert_allclose(table(masks, 12, 2)[0], table(masks, 12, 1)[0] * [1, 0.5, 1, 0.5])
    assert (np.linalg.eigvalsh(table(EVERY, UNITS, 2)) > -1e-9).all()
