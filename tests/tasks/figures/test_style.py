import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from tasks.figures import style


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.2))
def test_spread_keeps_order_and_the_gap(positions: list[float], gap: float) -> None:
    moved = style.spread(positions, gap=gap)
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    for before, after in pairwise(order):
        assert moved[after] - moved[before] >= gap - 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_spread_keeps_the_centre(positions: list[float], gap: float) -> None:
    moved = style.spread(positions, gap=gap)
    assert sum(moved) == pytest.approx(sum(positions), abs=1e-6)


def test_spread_leaves_distant_positions_alone() -> None:
    assert style.spread([0.9, 0.1, 0.5], gap=0.1) == [0.9, 0.1, 0.5]


def draw(title: str) -> Figure:
    with style.styled():
        figure, (axes,) = style.new_figure(width=3, height=2)
        axes.plot([0, 1], [1, 0], "o-")
        axes.set_title(title)
    return figure


def test_svg_is_the_same_every_time_and_needs_nothing_outside() -> None:
    first, second = (style.to_svg(draw("a"), name="one", label="a") for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert first.rstrip().endswith("</svg>")
    assert "<metadata" not in first
    assert "<style" not in first
    references = re.findall(r'(?:href="|url\()([^")]*)', first)
    assert references
    assert all(reference.startswith("#") for reference in references)


def test_svg_ids_differ_between_figures_of_one_page() -> None:
    found = [
        set(re.findall(r' id="([^"]*)"', style.to_svg(draw("a"), name=name, label="a")))
        for name in ("one", "two")
    ]
    assert found[0]
    assert not found[0] & found[1]


def test_svg_escapes_names_and_takes_dollars_as_they_are() -> None:
    svg = style.to_svg(draw("<b>$x_1$</b>"), name="one", label='"><script>')
    assert "<b>" not in svg
    assert "<script>" not in svg
    assert "$x_1$" in svg


def test_letters_outside_the_measuring_font_are_drawn_without_a_warning() -> None:
    assert "温度" in style.to_svg(draw("温度"), name="one", label="a")


def test_png_is_the_same_every_time() -> None:
    first, second = (style.to_png(draw("a")) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
