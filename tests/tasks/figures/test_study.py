"""The study's figure: every task has its place, and what lies far beyond is told in words."""

import pandas as pd

from tasks.figures.study import draw_study


def row(dataset: str, model: str, pruned: float, **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "dataset": dataset, "model": model, "horizon": 96, "seed": 0, "blocks": 12, "kept": 3,
        "valid_pruned": 1.0, "full": 1.0, "pruned": pruned, "random": 1.1, "scratch": 0.9,
    }  # fmt: skip
    return plain | changes


def test_far_values_are_told_and_a_task_that_one_model_lacks_leaves_a_gap() -> None:
    rows = [row("a", "m", 1.02), row("b", "m", 3.5), row("b", "n", 1.0, seed=1)]
    first, second = draw_study(pd.DataFrame(rows), 0.3).axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["a 0", "b 0", "b 1"]
    assert [text.get_text() for text in first.texts] == ["pruned +250 %"]
    assert first.texts[0].get_position()[1] == -1  # the second place
    assert not second.texts
    (shown,) = [points for points in second.collections if points.get_label() == "pruned"]
    assert shown.get_offsets().tolist() == [[0.0, -2.0]]
