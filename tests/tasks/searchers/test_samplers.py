"""Samplers against all masks of 3 of 12 blocks, with 15 % of the evaluations."""

from collections.abc import Callable
from itertools import combinations, pairwise
from math import exp, sqrt

import numpy as np
import optuna
import pytest
from optuna.trial import create_trial

from tasks.masks.mask import Mask
from tasks.searchers.mask_sampler import swaps
from tasks.searchers.process import MaskKernel, MaskProcess, similarity
from tasks.searchers.samplers import make_sampler
from tasks.searchers.space import decode, distributions, encode, suggest
from tasks.searchers.surrogate import SurrogateSampler
from tasks.searchers.swap import SwapSampler
from tasks.sections.search import Search
from tests.tasks.searchers.synthetic import gauge_of, loss_table, study_on

BUDGET = 33  # 15 % of the 220 masks


def regret(sampler: str, seed: int, trials: int = BUDGET) -> float:
    """How far the best of a study is above the optimum."""
    table = loss_table(12, [3], seed)
    options = Search(exhaustive_limit=0, trials=trials, sampler=sampler)
    proposals = [("first", (0, 1, 2)), ("last", (9, 10, 11))]
    found = study_on(gauge_of(table, options, num_blocks=12, proposals=proposals, seed=seed))
    return found["valid_mse"].min() / min(table.values()) - 1


@pytest.mark.parametrize("sampler", ["swap", "surrogate"])
@pytest.mark.parametrize("seed", range(3))
def test_our_samplers_find_the_optimum(sampler, seed):
    assert regret(sampler, seed) <= 0.01


def test_guided_samplers_beat_random_ones():
    by_name = {
        name: np.mean([regret(name, seed) for seed in range(3)])
        for name in ("surrogate", "swap", "random")
    }
    assert by_name["surrogate"] < by_name["random"]
    assert by_name["swap"] < by_name["random"]


@pytest.mark.parametrize("sampler", ["surrogate", "swap"])
def test_no_mask_is_proposed_twice_while_one_is_left(sampler):
    table = loss_table(6, [2, 3], 0)
    options = Search(exhaustive_limit=0, trials=len(table), sampler=sampler, batch=3)
    trials = study_on(gauge_of(table, options, num_blocks=6))
    assert trials["keep"].nunique() == len(trials) == len(table) == 35


@pytest.mark.parametrize("sampler", ["surrogate", "swap"])
def test_every_size_gets_its_share(sampler):
    options = Search(exhaustive_limit=0, trials=30, sampler=sampler)
    table = loss_table(10, [2, 3, 4], 0)
    proposals = [("a", (0, 1)), ("b", (0, 2)), ("c", (1, 2))]
    trials = study_on(gauge_of(table, options, num_blocks=10, proposals=proposals))
    assert trials["num_kept"].value_counts().to_dict() == {2: 10, 3: 10, 4: 10}


def propose(sampler: SurrogateSampler | SwapSampler, measured: dict[Mask, float]) -> Mask:
    """What a sampler proposes after these trials of a study with two objectives."""
    space = distributions(sampler.sizes, sampler.num_blocks)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    for mask, error in measured.items():
        params = encode(mask, sampler.num_blocks)
        study.add_trial(create_trial(params=params, distributions=space, values=[error, 0.0]))
    return suggest(study.ask(), sampler.sizes, sampler.num_blocks)


def test_a_swap_is_a_neighbour_of_the_best_and_then_of_the_next_best():
    measured = {(0, 1): 0.5, (3, 4): 0.4, (2, 5): 0.9}
    assert propose(SwapSampler([2], 6, 0), measured) in swaps((3, 4), 6)
    measured |= dict.fromkeys(swaps((3, 4), 6), 0.8)
    assert (0, 1) in measured
    following = propose(SwapSampler([2], 6, 0), measured)
    assert following not in measured
    assert following in swaps((0, 1), 6)


@pytest.mark.parametrize("seed", range(3))
def test_without_trials_a_mask_is_random_and_set_by_the_seed(seed):
    first, again = (propose(SwapSampler([3], 12, seed), {}) for _ in range(2))
    assert first == again
    assert len({propose(SwapSampler([3], 12, s), {}) for s in range(8)}) > 1


def test_swaps_differ_in_one_block():
    found = swaps((0, 3), 5)
    assert len(found) == len(set(found)) == 2 * 3
    assert all(len(set(mask) & {0, 3}) == 1 for mask in found)


def test_a_stack_too_deep_to_list_is_searched_from_the_best():
    sampler = SurrogateSampler([7], 28, 0)
    rng = np.random.default_rng(0)
    measured = {sampler.random_mask(7, ()): float(error) for error in 1 + rng.random(8)}
    mask = propose(SurrogateSampler([7], 28, 1), measured)
    assert len(mask) == 7
    assert mask not in measured


@pytest.mark.parametrize("jumps", [False, True])
def test_similarity_is_one_for_equal_masks_and_falls_with_distance(jumps):
    vectors = MaskKernel(12, jumps=jumps).vectors([(0, 5), (0, 6), (0, 11), (10, 11)])
    table = similarity(vectors, vectors)
    assert table[0, 0] == pytest.approx(1)
    assert list(table[0]) == sorted(table[0], reverse=True)
    assert np.linalg.eigvalsh(table).min() > -1e-9


def bump(a: int, b: int, num_kinds: int) -> float:
    """How much two positions of 12 blocks overlap."""
    return exp(-((a - b) ** 2) / (2 * 2.0**2)) * (1 if (a - b) % num_kinds == 0 else 0.5)


def cosine(overlap: Callable[[Mask, Mask], float], first: Mask, second: Mask) -> float:
    return overlap(first, second) / sqrt(overlap(first, first) * overlap(second, second))


@pytest.mark.parametrize("num_kinds", [1, 2])
def test_similarity_is_the_overlap_of_positions_and_with_jumps_times_that_of_jumps(num_kinds):
    def kept(first: Mask, second: Mask) -> float:
        return sum(bump(a, b, num_kinds) for a in first for b in second)

    def jumped(first: Mask, second: Mask) -> float:
        left, right = (list(pairwise([-1, *mask, 12])) for mask in (first, second))
        return sum(bump(a, c, num_kinds) * bump(b, d, num_kinds) for a, b in left for c, d in right)

    masks = [(0, 5, 9), (3, 4), (11,)]
    positions, jumps = (
        np.array([[cosine(overlap, a, b) for b in masks] for a in masks])
        for overlap in (kept, jumped)
    )
    for with_jumps, expected in [(False, positions), (True, positions * jumps)]:
        vectors = MaskKernel(12, num_kinds, jumps=with_jumps).vectors(masks)
        np.testing.assert_allclose(similarity(vectors, vectors), expected, rtol=1e-6)


def test_the_process_goes_through_what_was_measured_and_is_sure_there():
    table = loss_table(8, [2], 0)
    known = list(table)[::3]
    process = MaskProcess(known, [table[mask] for mask in known], 8)
    forecast = process.forecast(list(table))
    near = process.expected_errors(known)
    assert np.corrcoef(near, [table[mask] for mask in known])[0, 1] > 0.95
    places = [list(table).index(mask) for mask in known]
    others = np.setdiff1d(np.arange(len(table)), places)
    assert forecast.deviation[places].max() < forecast.deviation[others].max()
    assert (forecast.expected_improvement() >= 0).all()


def test_equal_errors_do_not_stop_the_process():
    masks = list(combinations(range(5), 2))
    forecast = MaskProcess(masks[:4], [1.0] * 4, 5).forecast(masks)
    assert np.isfinite(forecast.expected_improvement()).all()


@pytest.mark.parametrize("name", ["surrogate", "swap", "tpe", "gp", "nsga2", "random"])
def test_samplers_are_made_anew_without_warnings(name, recwarn):
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.sampler = make_sampler(name, sizes=[2], num_blocks=6, seed=1)
    assert len(decode(study.ask(distributions([2], 6)).params, 6)) == 2
    assert not [w for w in recwarn if "optuna" in str(w.filename)]
