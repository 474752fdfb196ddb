"""The broken-down removal loss: relative to the same part, undefined where that is."""

import numpy as np
import pytest

from tasks.artifacts.scoring import ErrorParts
from tasks.figures.removal import draw_series, draw_steps, draw_volatility, relative_rise
from tasks.figures.style import to_svg
from tasks.figures.units import Units
from tests.tasks.figures.made_up_scores import made_up_removal

BLOCKS = Units("block")


def test_the_rise_is_relative_to_the_full_error_of_the_part():
    parts = ErrorParts(names=["a", "b", "c"], full=[0.5, 0.0, None], rise=[[0.1, 0.2, None]])
    np.testing.assert_allclose(relative_rise(parts), [[0.2, np.nan, np.nan]])


@pytest.fixture(scope="module")
def removal():
    return made_up_removal(np.linspace(0.5, 0.0, 12))


def text_of(figure):
    return to_svg(figure, name="one", label="one")


def test_many_series_are_cut_and_said_to_be(removal):
    text = text_of(draw_series(removal.series, BLOCKS))
    assert "by series (24 of 30)" in text
    assert text.count("channel") == 24
    assert "channel 10 with a\u2026" in text


def test_steps_and_kinds_are_drawn(removal):
    assert "Removal loss by horizon step" in text_of(draw_steps(removal.steps, BLOCKS))
    assert "volatile" in text_of(draw_volatility(removal.volatility, BLOCKS))


def test_no_known_value_is_drawn_empty():
    parts = ErrorParts(names=["a"], full=[None], rise=[[None], [None]])
    assert "by series" in text_of(draw_series(parts, BLOCKS))
