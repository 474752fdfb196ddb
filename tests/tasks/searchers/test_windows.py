"""The windows that masks are measured on: of the training range too where validation is short."""

import pytest
import torch

from tasks.data.spans import FEWEST_SPANS
from tasks.data.windows import training_windows, validation_windows
from tasks.searchers.windows import search_windows
from tests.tiny import tiny_series

CONTEXT, VALID_ROWS = 64, 120  # of 600 rows
LONG = VALID_ROWS // FEWEST_SPANS  # the longest horizon with enough forecasts side by side


def windows(horizon: int, count: int, train_share: float = 1.0) -> torch.Tensor:
    return search_windows(tiny_series(), CONTEXT, horizon, count=count, train_share=train_share)


def test_a_validation_range_that_is_long_enough_gives_all_windows() -> None:
    valid = validation_windows(tiny_series(), CONTEXT, LONG)
    assert torch.equal(windows(LONG, 40), valid.batch(valid.spaced(40)))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_short_one_gives_half_of_them(share: float) -> None:
    horizon = LONG + 1
    valid = validation_windows(tiny_series(), CONTEXT, horizon)
    train = training_windows(tiny_series(), CONTEXT, horizon, share=share)
    found = windows(horizon, 40, share)
    assert len(found) == 40
    assert torch.equal(found[:20], valid.batch(valid.spaced(20)))
    assert torch.equal(found[20:], train.batch(train.spaced(20)))


def test_windows_of_the_training_range_hold_no_target_of_validation() -> None:
    history = tiny_series(channels=1)
    horizon, number = LONG + 1, torch.arange(len(history.values)).float()
    numbered = type(history)(number.numpy(), history.series)
    found = search_windows(numbered, CONTEXT, horizon, count=40, train_share=1.0)
    assert found[20:].max() < history.series[0].train_end <= found[:20, CONTEXT:].min()
