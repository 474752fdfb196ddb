"""Contiguous removal by angular distance, by hand."""

import pytest

from tasks.masks.mask import own_mask, top_mask
from tasks.scorers.angular import angular
from tasks.sections.scoring import Angular
from tests.tasks.scorers.made_up import made_up_activations, symmetric

NESTED = symmetric([[0.4, 0.45, 0.6], [0.1, 0.25], [0.2]], 0.0)
APART = symmetric([[0.1, 0.5, 0.6], [0.2, 0.3], [0.2]], 0.0)


def test_a_block_has_the_smallest_distance_of_the_chosen_runs_that_hold_it():
    score = angular(made_up_activations(last_angle=NESTED), Angular())
    assert score.values == pytest.approx([0.6, 0.1, 0.25])
    assert score.masks == {2: [0, 2], 1: [0]}
    assert all(own_mask(score, size) == top_mask(score.values, size) for size in (1, 2))


def test_runs_that_do_not_contain_one_another_are_kept_as_masks():
    score = angular(made_up_activations(last_angle=APART), Angular())
    assert score.values == pytest.approx([0.1, 0.3, 0.3])
    assert own_mask(score, 2) == (1, 2)  # without the run 0
    assert own_mask(score, 1) == (0,)  # without the run 1, 2
    assert own_mask(score, 3) == (0, 1, 2)


def test_tokens_says_which_distances_count():
    both = made_up_activations(angle=NESTED, last_angle=APART)
    assert angular(both, Angular(tokens="all")).values == pytest.approx([0.6, 0.1, 0.25])
    assert angular(both, Angular(tokens="last")).values == pytest.approx([0.1, 0.3, 0.3])
