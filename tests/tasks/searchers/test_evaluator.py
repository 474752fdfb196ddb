"""Many masks at once cost less and give the same bits as one at a time."""

import pytest
import torch

from tasks.searchers.evaluator import MaskEvaluator
from tests.tiny import CONTEXT, tiny_model, tiny_windows

MASKS = [(0, 1), (0, 2), (), (0, 1), (1, 2, 4)]


@pytest.fixture(scope="module")
def model():
    return tiny_model("qwen3")


@pytest.fixture(scope="module")
def windows():
    return tiny_windows(70)


def test_errors_of_many_masks_equal_those_of_each_alone_bit_for_bit(model, windows):
    together = MaskEvaluator(model, windows).errors(MASKS)
    assert together == [MaskEvaluator(model, windows).error(mask) for mask in MASKS]
    assert together == MaskEvaluator(model, windows, max_bytes=0).errors(MASKS)
    assert len(set(together)) == 4


def test_window_errors_make_the_error(model, windows):
    evaluator = MaskEvaluator(model, windows)
    error = evaluator.error((1, 3))
    sums = evaluator.window_errors((1, 3))
    assert sums.shape == (70,)
    assert evaluator.mean_of(sums) == error
    observed = int(torch.isfinite(windows[:, CONTEXT:]).sum())
    assert float(sums.sum()) / observed == pytest.approx(error, rel=1e-12)


def test_the_memo_is_believed_and_window_errors_are_made_when_asked_for(model, windows):
    evaluator = MaskEvaluator(model, windows)
    evaluator.memo[0, 1] = 0.5  # as read from a journal
    assert evaluator.errors([(0, 1), (2,)])[0] == 0.5
    assert evaluator.mean_of(evaluator.window_errors((0, 1))) != 0.5
    assert evaluator.error((0, 1)) == 0.5


def test_measuring_some_windows_equals_their_part_of_all(model, windows):
    evaluator = MaskEvaluator(model, windows)
    index = torch.tensor([3, 69, 1])
    part = evaluator.measure([(0, 2), (4,)], index)
    torch.testing.assert_close(part[0], evaluator.window_errors((0, 2))[index])
