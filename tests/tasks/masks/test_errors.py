"""Errors of many masks at once: the same bits as each alone, missing targets counted nowhere."""

import pytest
import torch

from tasks.masks.errors import USELESS, mean_error, step_errors, window_errors
from tasks.training.loop import validation_mse
from tests.tiny import CONTEXT, tiny_model, tiny_windows

MASKS = [(0, 1, 2, 3, 4), (), (1, 3), (1, 4), (0,), (1, 3)]


@pytest.fixture(scope="module")
def windows():
    windows = tiny_windows(70)  # two batches, the second one short
    windows[3, CONTEXT:] = float("nan")  # a window without a target
    return windows


@pytest.mark.parametrize("backbone", ["gpt2", "qwen3"])
def test_errors_equal_those_of_each_mask_alone_bit_for_bit(backbone, windows):
    model = tiny_model(backbone)
    sums = window_errors(model, MASKS, windows)
    for mask, row in zip(MASKS, sums, strict=True):
        with model.only(mask):
            assert mean_error(row, windows[:, CONTEXT:]) == validation_mse(model, windows)


def test_errors_by_step_add_up_to_those_by_window(windows):
    model = tiny_model()
    steps, sums = step_errors(model, MASKS, windows), window_errors(model, MASKS, windows)
    torch.testing.assert_close(steps.double().nansum(2), sums)
    missing = ~torch.isfinite(windows[:, CONTEXT:])
    assert torch.equal(steps[0].isnan(), missing)
    assert (sums[:, 3] == 0).all()


def test_a_mask_that_forecasts_no_numbers_has_a_large_error_and_no_other_is_touched(windows):
    model, whole = tiny_model(), tiny_model()
    with torch.no_grad():
        next(model.backbone.h[4].parameters()).fill_(float("nan"))
    broken, sound = window_errors(model, [(0, 4), (0, 1)], windows)
    assert torch.equal(sound, window_errors(whole, [(0, 1)], windows)[0])
    has_target = torch.isfinite(windows[:, CONTEXT:]).any(1)
    assert (broken[has_target] == USELESS).all()
    assert (broken[~has_target] == 0).all()


def test_the_mean_is_over_observed_points():
    target = torch.tensor([[1.0, float("nan")], [0.0, 0.0]])
    assert mean_error(torch.tensor([4.0, 5.0], dtype=torch.float64), target) == 3.0
    assert mean_error(torch.zeros(1, dtype=torch.float64), torch.full((1, 2), float("nan"))) == 0
