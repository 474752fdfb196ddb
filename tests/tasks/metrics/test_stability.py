"""Agreement of masks and scores over settings, against chance."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tasks.metrics.agreement import (
    agreement_with,
    expected_jaccard,
    jaccard,
    mask_agreement,
    rank_agreement,
    settled_blocks,
)
from tasks.metrics.stability import (
    Setting,
    Stability,
    judge,
    setting_of,
    settings_along,
    without,
)

SAMPLES = 2000
BLOCKS = 12


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def stability(masks: list[list[int]], *, keep: list[int] | None = None) -> Stability:
    settings = [
        Setting(axis="calibration", label=f"draw {number}", masks={"search": mask}, scores={})
        for number, mask in enumerate(masks)
    ]
    return Stability(
        dataset="d", model="m", num_blocks=BLOCKS, keep=keep or masks[0], windows=8,
        settings=settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([0, 1], [0, 1], 1.0), ([0, 1], [2, 3], 0.0), ([0, 1, 5], [1, 5, 7], 0.5), ([], [], 1.0)],
)
def test_jaccard(first: list[int], second: list[int], expected: float) -> None:
    assert jaccard(first, second) == jaccard(second, first) == expected


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 3), (3, 3), (5, 1), (0, 2)])
def test_expected_jaccard_is_the_mean_over_all_masks(first: int, second: int) -> None:
    fixed = tuple(range(first))
    masks = list(itertools.combinations(range(5), second))
    by_hand = np.mean([jaccard(fixed, mask) for mask in masks])
    assert expected_jaccard(5, first, second) == pytest.approx(by_hand)


def test_p_value_of_two_masks_is_the_share_of_masks_that_overlap_as_much() -> None:
    found = mask_agreement([(0, 1, 5), (0, 5, 9)], BLOCKS, samples=0, generator=generator())
    masks = list(itertools.combinations(range(BLOCKS), 3))
    share = np.mean([len({0, 1, 5} & set(mask)) >= 2 for mask in masks])
    assert found is not None
    assert found.p_value == pytest.approx(share)
    assert (found.count, found.jaccard) == (2, 0.5)


def test_simulated_agreement_has_the_expected_mean_and_exact_tail() -> None:
    masks = [(0, 1), (0, 2), (0, 3)]
    found = mask_agreement(masks, 4, samples=20_000, generator=generator())
    assert found is not None
    assert found.by_chance == pytest.approx(expected_jaccard(4, 2, 2))
    every = list(itertools.combinations(range(4), 2))
    means = [
        np.mean([jaccard(*pair) for pair in itertools.combinations(three, 2)])
        for three in itertools.product(every, repeat=3)
    ]
    exact = np.mean(np.asarray(means) >= found.jaccard - 1e-9)
    assert found.p_value == pytest.approx(exact, abs=0.015)


def test_random_masks_are_called_a_finding_at_the_level_only() -> None:
    chance = np.random.default_rng(1)
    found = [
        mask_agreement(
            [chance.choice(BLOCKS, 3, replace=False).tolist() for _ in range(5)],
            BLOCKS,
            samples=200,
            generator=chance,
        )
        for _ in range(100)
    ]
    assert np.mean([one is not None and one.p_value <= 0.05 for one in found]) <= 0.1


def test_fewer_than_two_masks_say_nothing() -> None:
    assert mask_agreement([(0, 1)], BLOCKS, samples=9, generator=generator()) is None
    assert mask_agreement([(0,), (), ()], BLOCKS, samples=9, generator=generator()) is None


def test_blocks_set_aside_are_gone() -> None:
    assert without([(0, 1, 5), (2, 3)], [0, 3]) == [(1, 5), (2,)]


def test_settled_blocks_are_in_nearly_every_mask() -> None:
    masks = [(0, 1, 2), (0, 1, 3), (0, 1, 4), (0, 1, 5), (0, 6, 7), (0, 1, 8)]
    found = settled_blocks(masks, BLOCKS, samples=SAMPLES, generator=generator())
    assert found[:1] == [0]
    assert set(found) <= {0, 1}


def test_random_masks_settle_no_block_but_at_the_level() -> None:
    chance = np.random.default_rng(2)
    settled = [
        settled_blocks(
            [chance.choice(BLOCKS, 3, replace=False) for _ in range(6)],
            BLOCKS,
            samples=200,
            generator=chance,
        )
        for _ in range(100)
    ]
    assert np.mean([bool(found) for found in settled]) <= 0.1


def test_rank_agreement_is_the_mean_of_kendalls_tau_with_ties() -> None:
    rows = np.random.default_rng(3).integers(0, 4, (4, 9)).astype(float)
    pairs = itertools.combinations(rows, 2)
    expected = np.mean([stats.kendalltau(*pair).statistic for pair in pairs])
    found = rank_agreement(rows.tolist(), samples=50, generator=generator())
    assert found is not None
    assert found.tau == pytest.approx(expected)


def test_equal_orders_are_no_chance_and_constant_ones_say_nothing() -> None:
    order = [float(value) for value in range(9)]
    found = rank_agreement([order, order], samples=499, generator=generator())
    assert found is not None
    assert (found.tau, found.p_value) == (pytest.approx(1.0), 0.002)
    assert rank_agreement([order, [1.0] * 9], samples=9, generator=generator()) is None
    assert rank_agreement([order], samples=9, generator=generator()) is None


def test_agreement_with_one_mask_keeps_the_others() -> None:
    masks = [(0, 1, 2), (0, 1, 3)]
    near = agreement_with((0, 1, 2), masks, BLOCKS, samples=SAMPLES, generator=generator())
    far = agreement_with((9, 10, 11), masks, BLOCKS, samples=SAMPLES, generator=generator())
    assert near.jaccard == pytest.approx(0.75)
    assert near.p_value < 0.02
    assert (far.jaccard, far.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("keep", "expected"), [([0, 1, 5], "finding"), ([0, 1, 6], "finding"), ([3, 5, 9], "other")]
)
def test_a_choice_far_from_what_all_settings_choose_is_another(
    keep: list[int], expected: str
) -> None:
    found = judge(stability([[0, 1, 5]] * 5, keep=keep), samples=SAMPLES, generator=generator())
    assert found is not None
    assert found.answer == expected


def test_a_choice_that_lacks_the_settled_block_is_another() -> None:
    masks = [[0, 1, 2], [0, 2, 3], [0, 4, 7], [0, 5, 8], [0, 3, 10], [0, 6, 11]]
    found = judge(stability(masks, keep=[4, 6, 9]), samples=SAMPLES, generator=generator())
    assert found is not None
    assert (found.answer, found.settled) == ("other", [0])


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([[0, 1, 5]] * 4, "finding"),
        ([[0]] * 4, "finding"),
        ([[0, 1, 2], [0, 3, 4], [0, 5, 6], [0, 7, 8], [0, 9, 10]], "partly"),
        ([[0, 1, 2], [0, 2, 3], [0, 4, 7], [0, 5, 8], [0, 3, 10], [0, 6, 11]], "partly"),
        ([[0, 1, 5], [0, 1, 6], [0, 1, 5], [0, 1, 5], [1, 5, 8], [0, 1, 5]], "finding"),
        ([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]], "draw"),
        ([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 7]], "finding"),  # block 0 is in none
        ([[1, 2, 3], [2, 5, 7], [1, 5, 10], [1, 2, 7], [2, 3, 9]], "finding"),
        ([[0, 1, 2], [0, 1, 3], [0, 2, 5]], "partly"),
        ([[0, 1, 2]], None),
    ],
)
def test_answers(masks: list[list[int]], expected: str | None) -> None:
    found = judge(stability(masks), samples=SAMPLES, generator=generator())
    assert (found.answer if found else None) == expected


def test_what_not_even_equal_masks_could_show_is_not_called_a_draw() -> None:
    made = stability([[0, 1], [0, 1]]).model_copy(update={"num_blocks": 6})
    assert judge(made, samples=SAMPLES, generator=generator()) is None  # 1 of 15 pairs is equal
    three = stability([[0, 1], [0, 1], [0, 1]]).model_copy(update={"num_blocks": 6})
    found = judge(three, samples=SAMPLES, generator=generator())
    assert found is not None
    assert found.answer == "finding"


def test_a_setting_holds_a_mask_of_the_same_size_for_every_score() -> None:
    made = setting_of("seed", "seed 1", (2, 3), {"one": [0.1, 0.9, 0.5], "two": [3.0, 2.0, 1.0]})
    assert made.masks == {"search": [2, 3], "one": [1, 2], "two": [0, 1]}


def test_shorter_horizons_are_compared_with_the_own_one() -> None:
    made = stability([[0, 1], [0, 2]])
    short = made.settings[0].model_copy(update={"axis": "horizon", "label": "horizon 24"})
    made = made.model_copy(update={"settings": [*made.settings, short]})
    assert [one.label for one in settings_along(made, "horizon")] == ["horizon 24", "draw 0"]
    assert settings_along(made, "seed") == []
