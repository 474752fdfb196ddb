"""Blocks and sublayers by name."""

import pytest

from tasks.figures.units import Units


@pytest.mark.parametrize(
    ("granularity", "names"),
    [("block", ["0, 3", "none", "n/a"]), ("sublayer", ["0A, 1M", "none", "n/a"])],
)
def test_names(granularity, names):
    units = Units(granularity)
    assert [units.names(numbers) for numbers in ([0, 3], [], None)] == names


def test_a_text_about_blocks_speaks_of_sublayers_where_these_are_meant():
    assert Units("block").told("the first blocks") == "the first blocks"
    assert Units("sublayer").told("the first blocks") == "the first sublayers"
