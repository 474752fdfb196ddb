"""Masked, streamed forecast errors."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.series import Series, SeriesSet
from tasks.errors import DataError
from tasks.metrics.errors import ErrorSums, missing_targets, seasonal_scales

NAN = float("nan")


def one_series(values: list[float], train_end: int) -> SeriesSet:
    array = np.array(values, dtype=np.float32)
    return SeriesSet(array, (Series("a", 0, len(array), train_end, 0.0, 1.0),))


def test_errors_equal_those_computed_by_hand() -> None:
    sums = ErrorSums(2, np.array([0.5, 2.0]))
    forecast = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    target = torch.tensor([[0.0, NAN], [3.0, -1.0], [NAN, NAN]])
    by_window = sums.add(forecast, target, torch.tensor([0, 1, 1]))
    errors = sums.errors()
    assert errors.mse == pytest.approx((1 + 9 + 1) / 3)
    assert errors.mae == pytest.approx((1 + 3 + 1) / 3)
    assert errors.mase == pytest.approx((1 / 0.5 + 3 / 2 + 1 / 2) / 3)
    assert by_window[:2].tolist() == [1.0, 5.0]
    assert by_window[2].isnan()
    assert sums.per_step().tolist() == [5.0, 1.0]


@given(cuts=st.lists(st.integers(1, 29), max_size=4, unique=True), seed=st.integers(0, 2**32 - 1))
def test_batches_add_up_to_one_pass(cuts: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    forecast, target = torch.randn(2, 30, 4, generator=generator)
    target[torch.rand(30, 4, generator=generator) < 0.2] = NAN
    series = torch.randint(3, (30,), generator=generator)
    scales = np.array([1.0, np.nan, 0.3])
    whole, parts = ErrorSums(4, scales), ErrorSums(4, scales)
    whole.add(forecast, target, series)
    bounds = [0, *sorted(cuts), 30]
    for low, high in pairwise(bounds):
        parts.add(forecast[low:high], target[low:high], series[low:high])
    expected, got = whole.errors(), parts.errors()
    assert got.mse == pytest.approx(expected.mse)
    assert got.mae == pytest.approx(expected.mae)
    assert got.mase == pytest.approx(expected.mase)


def test_series_without_scale_are_left_out_of_mase_only() -> None:
    sums = ErrorSums(1, np.array([np.nan, 2.0]))
    sums.add(torch.tensor([[10.0], [1.0]]), torch.zeros(2, 1), torch.tensor([0, 1]))
    assert sums.errors().mase == pytest.approx(0.5)
    assert sums.errors().mae == pytest.approx(5.5)


def test_mase_is_none_when_no_series_has_a_scale() -> None:
    sums = ErrorSums(1, np.array([np.nan]))
    sums.add(torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([0]))
    assert sums.errors().mase is None


def test_no_observed_target_is_an_error() -> None:
    sums = ErrorSums(1, np.array([1.0]))
    sums.add(torch.ones(1, 1), torch.full((1, 1), NAN), torch.tensor([0]))
    with pytest.raises(DataError, match="no target value is observed in any window"):
        sums.errors()


@pytest.mark.parametrize(
    ("values", "train_end", "season", "scale"),
    [
        ([0, 1, 2, 4, 100], 4, 1, 4 / 3),  # the training range only
        ([0, 1, 2, 4, 100], 4, 2, 2.5),
        ([0, NAN, 2, 4], 4, 1, 2.0),  # pairs that are both observed
        ([3, 3, 3, 3], 4, 1, NAN),  # constant
        ([1, 2, 1, 2], 4, 2, NAN),  # seasonal naive is perfect
        ([1, 2, 3], 3, 5, NAN),  # shorter than the season
    ],
)
def test_seasonal_scale(values: list[float], train_end: int, season: int, scale: float) -> None:
    found = seasonal_scales(one_series(values, train_end), season)
    np.testing.assert_allclose(found, [scale])


def test_missing_targets_leave_out_the_reach_back() -> None:
    assert missing_targets(one_series([NAN, NAN, 1, NAN, 2], 2)) == 1
