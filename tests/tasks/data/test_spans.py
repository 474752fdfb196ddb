"""How many forecasts a validation range must hold side by side to choose by it."""

import pytest

from tasks.data.spans import FEWEST_SPANS, is_short
from tests.tiny import tiny_series


@pytest.mark.parametrize(
    ("horizon", "expected"), [(30, False), (31, True), (1, False), (200, True)]
)
def test_a_range_of_less_than_four_horizons_is_short(horizon: int, expected: bool) -> None:
    series = tiny_series()
    assert series.series[0].length - series.series[0].train_end == FEWEST_SPANS * 30
    assert is_short(series, horizon) == expected
