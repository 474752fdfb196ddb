"""The removal loss by step, series and kind of window, by hand."""

import torch

from tasks.scorers.breakdown import break_down
from tasks.scorers.removals import Removals


def test_every_part_has_the_mean_of_its_own_points():
    full = [[1.0, 2], [3, 0], [5, 6]]
    skipped = [[2.0, 2], [6, 0], [5, 10]]
    observed = torch.tensor([[True, True], [True, False], [True, True]])
    removals = Removals(torch.tensor([full, skipped]), observed)
    found = break_down(removals, ["b", "a", "b"], torch.tensor([True, False, False]))
    assert found.steps.names == ["1", "2"]
    assert found.steps.full == [3, 4]
    assert found.steps.rise == [[13 / 3 - 3, 2]]
    assert found.series.names == ["a", "b"]
    assert found.series.full == [3, 3.5]
    assert found.series.rise == [[3, 1.25]]
    assert found.volatility.names == ["calm", "volatile"]
    assert found.volatility.full == [14 / 3, 1.5]
    assert found.volatility.rise == [[7 - 14 / 3, 0.5]]


def test_a_part_without_points_has_no_value():
    removals = Removals(torch.ones(2, 1, 1), torch.ones(1, 1, dtype=torch.bool))
    found = break_down(removals, ["a"], torch.tensor([False]))
    assert found.volatility.full == [1, None]
    assert found.volatility.rise == [[0, None]]
