"""Iterative pruning: sizes fall to the wanted one, masks are nested, steps add up."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.training.rounds import round_masks, round_sizes, round_steps


def test_twelve_blocks_fall_to_three_over_eight_and_five():
    assert round_sizes(12, 3, 3) == [8, 5, 3]


def test_the_lowest_scores_go_first_and_the_wanted_blocks_stay():
    scores = [0.0, 9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 0.5, 0.0]
    masks = round_masks(12, (0, 4, 11), 3, scores)
    assert masks == [(0, 1, 3, 4, 5, 7, 9, 11), (0, 1, 3, 4, 11), (0, 4, 11)]


def test_without_scores_the_others_thin_out_evenly():
    assert round_masks(12, (0, 1, 2), 3, None) == [
        (0, 1, 2, 3, 5, 7, 9, 11),
        (0, 1, 2, 3, 11),
        (0, 1, 2),
    ]


@given(st.data())
def test_every_mask_holds_the_next_and_the_last_is_the_wanted_one(data):
    blocks = data.draw(st.integers(1, 30))
    keep = tuple(sorted(data.draw(st.sets(st.integers(0, blocks - 1)))))
    rounds = data.draw(st.integers(1, 6))
    values = st.lists(st.floats(0, 1), min_size=blocks, max_size=blocks)
    masks = round_masks(blocks, keep, rounds, data.draw(st.none() | values))
    assert len(masks) == rounds
    assert masks[-1] == keep
    for larger, smaller in zip([tuple(range(blocks)), *masks], masks, strict=False):
        assert set(smaller) <= set(larger)
        assert len(set(smaller)) == len(smaller)


@given(st.integers(0, 1000), st.integers(1, 8))
def test_the_steps_of_all_rounds_are_the_steps_asked_for(steps, rounds):
    budgets = round_steps(steps, rounds)
    assert len(budgets) == rounds
    assert sum(budgets) == steps
    assert budgets[-1] == max(budgets)
