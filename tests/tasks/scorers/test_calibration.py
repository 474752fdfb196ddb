"""Calibration windows: drawn as said, different, the same for the same seed."""

import numpy as np
import pytest
import torch

from tasks.data.series import Series, SeriesSet
from tasks.data.windows import training_windows
from tasks.scorers.calibration import draw_windows, is_volatile, volatility

CALM, ROUGH = 0.01, 1.0


@pytest.fixture(scope="module")
def source():
    """A short series and a long one; the first quarter of each is calm."""
    rng = np.random.default_rng(0)
    values, series, start = [], [], 0
    for name, length in (("short", 400), ("long", 4000)):
        size = np.where(np.arange(length) < length // 4, CALM, ROUGH)
        values.append((size * rng.standard_normal(length)).astype(np.float32))
        series.append(Series(name, start, length, length, 0.0, 1.0))
        start += length
    return training_windows(SeriesSet(np.concatenate(values), tuple(series)), 16, 4)


@pytest.mark.parametrize("draw", ["spaced", "random", "stratified"])
def test_windows_are_different_sorted_and_the_same_for_a_seed(source, draw):
    index = draw_windows(source, 50, draw, seed=3).index
    assert len(index) == 50
    assert (index.diff() > 0).all()
    assert torch.equal(index, draw_windows(source, 50, draw, seed=3).index)
    other = draw_windows(source, 50, draw, seed=4).index
    assert torch.equal(index, other) == (draw == "spaced")


@pytest.mark.parametrize("draw", ["spaced", "random", "stratified"])
def test_asking_for_more_than_there_are_takes_all(source, draw):
    index = draw_windows(source, len(source) + 5, draw, seed=0).index
    assert torch.equal(index, torch.arange(len(source)))


def test_a_stratified_draw_takes_as_many_of_every_series_and_kind(source):
    index = draw_windows(source, 40, "stratified", seed=0).index
    series, place = source.locate(index)
    calm = place < (source.counts[series] + 19) // 4 - 19
    for one in (0, 1):
        assert int((series == one).sum()) == 20
        assert int(((series == one) & calm).sum()) >= 4  # most calm contexts are below the median
    chance = draw_windows(source, 40, "random", seed=0).index
    assert int((source.locate(chance)[0] == 0).sum()) < 10


def test_volatility_by_hand():
    nan = float("nan")
    contexts = torch.tensor([[0, 1, 0, 1], [0, 1, 2, 3], [0, nan, 0, 2], [nan, 1, nan, 1]])
    expected = [(8 / 9) ** 0.5, 0, 0, 0]  # differences 1 -1 1; 1 1 1; 2; none
    torch.testing.assert_close(volatility(contexts), torch.tensor(expected, dtype=torch.float64))


def test_volatile_means_above_the_median():
    values = torch.tensor([0.1, 0.4, 0.2, 0.3])
    assert is_volatile(values).tolist() == [False, True, False, True]
