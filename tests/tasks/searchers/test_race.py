"""A race finds the best masks on fewer windows, and seldom loses one."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon

from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.race import (
    LOOK,
    clearly_worse,
    draw_windows,
    estimates_of_total,
    race,
)
from tests.tiny import tiny_model, tiny_windows

MASKS = [mask for size in (1, 2) for mask in itertools.combinations(range(9), size)]


class Table(MaskEvaluator):
    """Errors from a table [masks, windows], with one step per window."""

    def __init__(self, table):
        self.table, self.memo, self.measured = torch.from_numpy(table), {}, 0
        self.target = torch.zeros(table.shape[1], 1)

    def measure(self, masks, index):
        self.measured += len(masks) * len(index)
        return self.table[[MASKS.index(mask) for mask in masks]][:, index]


def simulated(seed, *, spread, num_windows=256):
    """Skewed errors: sizes of windows that differ a hundredfold, gains that differ by mask."""
    rng = np.random.default_rng(seed)
    size = np.exp(1.5 * rng.standard_normal(num_windows))
    gains = spread * rng.random((len(MASKS), 1))
    return size * np.exp(gains + 0.3 * rng.standard_normal((len(MASKS), num_windows)))


def best_of(table, size, top=1):
    errors = table.mean(1)
    places = [place for place, mask in enumerate(MASKS) if len(mask) == size]
    return [MASKS[place] for place in sorted(places, key=lambda place: errors[place])[:top]]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_masks_survive_and_windows_are_saved(seed):
    table = simulated(seed, spread=2.0)
    evaluator = Table(table)
    found = race(evaluator, MASKS, top=2, alpha=0.05, seed=seed)
    assert found.evaluations == evaluator.measured == sum(found.windows.values())
    assert found.share < 0.6
    for size in (1, 2):
        for mask in best_of(table, size, top=2):
            assert found.is_exact(mask)
        of_size = [mask for mask in MASKS if len(mask) == size]
        assert min(of_size, key=found.errors.__getitem__) == best_of(table, size)[0]


def test_exact_errors_are_those_of_all_windows_and_alone_reach_the_memo():
    table = simulated(1, spread=2.0)
    evaluator = Table(table)
    found = race(evaluator, MASKS, top=1, alpha=0.05, seed=0)
    exact = [mask for mask in MASKS if found.is_exact(mask)]
    assert 0 < len(exact) < len(MASKS)
    for mask in exact:
        assert found.errors[mask] == pytest.approx(table[MASKS.index(mask)].mean(), rel=1e-12)
    assert evaluator.memo == {mask: found.errors[mask] for mask in exact}


def test_a_stopped_mask_is_estimated_near_its_error_and_behind_the_best():
    table = simulated(2, spread=2.0)
    found = race(Table(table), MASKS, top=2, alpha=0.05, seed=0)
    ratios = []
    for mask in MASKS:
        if not found.is_exact(mask):
            assert found.windows[mask] % LOOK == 0
            ratios.append(found.errors[mask] / table[MASKS.index(mask)].mean())
            assert found.errors[mask] > found.errors[best_of(table, len(mask), top=2)[1]]
    assert np.median(ratios) == pytest.approx(1, abs=0.1)


def test_a_best_mask_among_near_ties_is_lost_less_often_than_alpha():
    lost = 0
    for seed in range(60):
        table = simulated(seed, spread=0.05)
        found = race(Table(table), MASKS, top=1, alpha=0.1, seed=seed)
        lost += sum(not found.is_exact(best_of(table, size)[0]) for size in (1, 2))
    assert lost <= 0.1 * 2 * 60


def test_a_mask_that_is_best_by_a_few_large_windows_alone_is_not_lost():
    """It is worse on 95 % of the windows, so a test of the median would stop it."""
    table = np.ones((len(MASKS), 256)) + 0.01 * np.random.default_rng(0).random((len(MASKS), 256))
    table[:, :12] *= 50
    winner = MASKS.index((3, 4))
    table[winner, 12:] *= 1.05
    table[winner, :12] *= 0.5
    assert best_of(table, 2) == [(3, 4)]
    gaps = table[winner] - table[winner - 1]
    assert wilcoxon(gaps, alternative="greater").pvalue < 1e-9
    for seed in range(10):
        assert race(Table(table), MASKS, top=1, alpha=0.05, seed=seed).is_exact((3, 4))


def test_races_are_repeated_exactly_from_their_seed():
    table = simulated(3, spread=1.0)
    runs = [race(Table(table), MASKS, top=1, alpha=0.05, seed=seed) for seed in (4, 4, 5)]
    assert runs[0] == runs[1]
    assert runs[0].windows != runs[2].windows
    evaluator = Table(table)
    evaluator.memo[MASKS[0]] = 0.0
    assert race(evaluator, MASKS, top=1, alpha=0.05, seed=4) == runs[0]
    assert evaluator.memo[MASKS[0]] == 0.0


def test_few_windows_and_few_masks_are_measured_in_full():
    table = simulated(0, spread=2.0, num_windows=2 * LOOK - 1)
    found = race(Table(table), MASKS, top=1, alpha=0.05, seed=0)
    assert found.share == 1
    found = race(Table(simulated(0, spread=2.0)), MASKS[:3], top=3, alpha=0.05, seed=0)
    assert found.share == 1


def test_masks_of_a_model_race_on_windows_with_missing_values():
    windows = tiny_windows(80)
    evaluator = MaskEvaluator(tiny_model(), windows)
    masks = list(itertools.combinations(range(5), 2))
    found = race(evaluator, [*masks, masks[0]], top=2, alpha=0.05, seed=0)
    fresh = MaskEvaluator(tiny_model(), windows)
    for mask in masks:
        if found.is_exact(mask):
            assert found.errors[mask] == pytest.approx(fresh.error(mask), rel=1e-6)


def test_every_estimate_of_a_total_is_unbiased():
    """Over all orders of four windows, each weighed by its chance (Des Raj 1956)."""
    errors, chances = np.array([[5.0, 1.0, 0.5, 3.0]]), np.array([0.5, 0.25, 0.2, 0.05])
    expected = np.zeros(4)
    for order in map(list, itertools.permutations(range(4))):
        drawn = chances[order]
        chance = np.prod(drawn / (1 - np.cumsum(drawn) + drawn))
        totals, weights = estimates_of_total(errors[:, order], drawn)
        expected += chance * totals[0]
        assert weights.sum() == pytest.approx(1)
        assert (np.diff(weights) > 0).all()
    np.testing.assert_allclose(expected, errors.sum())


def test_windows_are_drawn_by_the_disagreement_of_the_pilots():
    pilots = np.ones((2, 100))
    pilots[1, :5] = 10
    first = np.zeros(100)
    for seed in range(200):
        order, chances = draw_windows(pilots, np.random.default_rng(seed))
        assert sorted(order) == list(range(100))
        assert chances.sum() == pytest.approx(1)
        first[order[0]] += 1 / 200
    assert first[:5].sum() == pytest.approx(0.8 + 0.2 * 0.05, abs=0.08)


def test_pilots_that_agree_everywhere_give_equal_chances():
    _, chances = draw_windows(np.ones((3, 8)), np.random.default_rng(0))
    np.testing.assert_allclose(chances, 1 / 8)


@pytest.mark.parametrize(
    ("totals", "top", "worse"),
    [
        ([[1, 2] * 8, [9, 8] * 8, [9, 7] * 8], 1, [False, True, True]),
        ([[1, 2] * 8, [9, 8] * 8, [9, 7] * 8], 2, [False, False, False]),
        ([[1, 2] * 8, [1, 2] * 8, [9, 7] * 8], 2, [False, False, True]),
        ([[1, 2] * 8], 1, [False]),
        ([[1], [2]], 1, [False, False]),
    ],
)
def test_masks_worse_than_each_of_the_best_are_named(totals, top, worse):
    totals = np.array(totals, dtype=float)
    weights = np.full(totals.shape[1], 1 / totals.shape[1])
    assert list(clearly_worse(totals, weights, top=top, level=1e-4)) == worse
