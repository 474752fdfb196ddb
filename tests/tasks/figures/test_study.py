"""The study's figure: every task has its place, and what lies far beyond is told in words."""

import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.text import Annotation

from tasks.figures.study import draw_study


def row(dataset: str, model: str, pruned: float, **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "dataset": dataset, "model": model, "horizon": 96, "seed": 0, "blocks": 12, "kept": 3,
        "valid_pruned": 1.0, "full": 1.0, "pruned": pruned, "random": 1.1, "scratch": 0.9,
    }  # fmt: skip
    return plain | changes


def test_far_values_are_told_and_a_task_that_one_model_lacks_leaves_a_gap() -> None:
    rows = [row("a", "m", 1.02), row("b", "m", 3.5), row("c", "n", 1.0, horizon=8)]
    first, second = draw_study(pd.DataFrame(rows), 0.3).axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["a 96", "b 96", "c 8"]
    assert [text.get_text() for text in first.texts] == ["pruned +250 %"]
    (told,) = first.texts
    assert isinstance(told, Annotation)
    assert told.xy[1] == -1  # the second place
    assert not second.texts
    (shown,) = [points for points in second.collections if points.get_label() == "pruned"]
    assert shown.get_offsets().tolist() == [[0.0, -2.0]]


def test_of_several_seeds_the_mean_is_marked_and_a_bar_spans_them() -> None:
    rows = [row("a", "m", 1.0), row("a", "m", 1.06, seed=1), row("a", "m", 1.03, seed=2)]
    (axes,) = draw_study(pd.DataFrame(rows), 0.3).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a"]
    (marks,) = [points for points in axes.collections if points.get_label() == "pruned"]
    (mean,) = marks.get_offsets().tolist()
    bars = [c.get_segments()[0].tolist() for c in axes.collections if isinstance(c, LineCollection)]
    assert mean[0] == pytest.approx(3.0)
    spans = [pytest.approx([start[0], end[0]]) for start, end in bars]
    assert [0.0, 6.0] in spans
    assert mean[1] in [start[1] for start, _ in bars]
