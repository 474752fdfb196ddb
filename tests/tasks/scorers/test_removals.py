"""Removal losses against models that were really cut."""

import pytest
import torch

from tasks.masks.mask import own_mask
from tasks.scorers.removal_greedy import removal_greedy
from tasks.scorers.removal_loss import removal_loss
from tasks.scorers.removals import (
    GreedyRemovals,
    Removals,
    measure_greedy,
    measure_removals,
)
from tasks.training.loop import validation_mse
from tests.tiny import tiny_model, tiny_windows


@pytest.fixture(scope="module")
def model():
    return tiny_model("qwen3")


@pytest.fixture(scope="module")
def windows():
    return tiny_windows(10)


def test_removal_loss_is_the_error_of_the_smaller_model_minus_the_full_one(model, windows):
    score = removal_loss(measure_removals(model, windows))
    base = validation_mse(model, windows)
    for dropped in range(5):
        smaller = model.with_blocks([block for block in range(5) if block != dropped])
        assert score.values[dropped] == validation_mse(smaller, windows) - base


def test_some_windows_are_a_part_of_the_evidence(model, windows):
    rows = torch.tensor([1, 6, 2])
    part = measure_removals(model, windows).subset(rows)
    alone = measure_removals(model, windows[rows])
    torch.testing.assert_close(part.errors, alone.errors)
    assert torch.equal(part.observed, alone.observed)
    assert Removals.join([part, alone]).errors.shape == (6, 6, 16)


def test_missing_targets_count_nowhere():
    errors = torch.tensor([[[1.0, 0], [3, 2]], [[5, 0], [0, 7]]])
    removals = Removals(errors, torch.tensor([[True, False], [True, True]]))
    assert removals.means().tolist() == [2, 4]
    assert removals.step_means().tolist() == [[2, 2], [2.5, 7]]
    assert removal_loss(removals).values == [2]


def test_greedy_removes_the_block_without_which_the_error_is_smallest(model, windows):
    found = measure_greedy(model, windows)
    kept = list(range(5))
    for block, error in zip(found.order, found.errors, strict=True):
        errors = {}
        for one in kept:
            with model.only([other for other in kept if other != one]):
                errors[one] = validation_mse(model, windows)
        assert errors[block] == min(errors.values()) == error
        kept.remove(block)
    assert not kept
    assert found.full == validation_mse(model, windows)


def test_greedy_values_rise_in_the_order_of_removal_and_masks_break_ties():
    score = removal_greedy(GreedyRemovals(order=(2, 0, 1), errors=[1.5, 1.25, 3.0], full=1.0))
    assert score.values == [0.5, 2.0, 0.5]
    assert own_mask(score, 2) == (0, 1)
    assert own_mask(score, 1) == (1,)
