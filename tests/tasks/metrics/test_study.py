"""Tables of the study from rows with known answers."""

import pandas as pd
import pytest

from tasks.metrics.study import (
    best_within,
    caps_of,
    common_tasks,
    leads_by_rival,
    markdown_of,
    outcome_table,
    rival_table,
    task_table,
)


def row(dataset: str, share: float, kept: int, **changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "dataset": dataset, "model": "m", "horizon": 96, "seed": 0, "share": share, "blocks": 12,
        "kept": kept, "valid_full": 1.25, "valid_pruned": 1.0, "zero_shot": None, "full": 1.0,
        "full_untuned": 1.25, "pruned": 1.0, "difference": 0.0, "verdict": "inconclusive",
        "random": 1.1, "first": 1.1, "even": 1.1, "scratch": 1.1, "linear": 2.0,
        "selection_adds": False,
    }  # fmt: skip
    return plain | changes


ROWS = pd.DataFrame(
    [
        row("a", 0.25, 3, pruned=1.01, difference=0.01, valid_pruned=1.2),
        row("a", 0.5, 6, pruned=0.9, difference=-0.1, valid_pruned=1.1, verdict="superior"),
        row("b", 0.25, 3, pruned=1.2, difference=0.2, valid_pruned=1.3),
        row("b", 0.5, 6, pruned=1.3, difference=0.3, valid_pruned=1.4, selection_adds=True),
    ]
)


def test_best_size_is_chosen_by_validation_within_the_cap() -> None:
    assert list(best_within(ROWS, 0.3)["kept"]) == [3, 3]
    assert list(best_within(ROWS, 0.5)["kept"]) == [6, 3]


def test_a_task_without_larger_sizes_counts_for_the_smaller_cap_alone() -> None:
    rows = pd.concat([ROWS, pd.DataFrame([row("c", 0.25, 3)])])
    assert list(best_within(rows, 0.3)["dataset"]) == ["a", "b", "c"]
    assert list(best_within(rows, 0.5)["dataset"]) == ["a", "b"]


def test_a_cap_that_lets_nothing_new_in_is_left_out() -> None:
    assert caps_of(ROWS) == (0.3, 0.5)
    assert caps_of(ROWS[ROWS["kept"] == 3]) == (0.3,)
    assert caps_of(ROWS[ROWS["kept"] == 6]) == (0.5,)
    assert caps_of(pd.DataFrame([row("a", 0.3, 3, blocks=10)])) == (0.3,)


def test_sizes_above_all_caps_are_shown_under_the_largest() -> None:
    large = pd.DataFrame([row("a", 0.75, 9), row("b", 0.75, 8)])
    assert caps_of(large) == (0.75,)
    assert list(task_table(large, 0.75)["dataset"]) == ["a", "b"]
    assert len(common_tasks(large, caps_of(large))) == 2
    assert caps_of(pd.concat([ROWS, large])) == (0.3, 0.5, 0.75)


def test_outcomes_count_tasks() -> None:
    small, half = outcome_table(ROWS).to_dict("records")
    assert (small["tasks"], small["within_margin"], small["no_worse"]) == (2, 1, 0)
    assert (small["as_trained_within_margin"], small["as_trained_no_worse"]) == (2, 2)
    assert (half["within_margin"], half["no_worse"], half["selection_adds"]) == (1, 1, 0)
    assert [half[name] for name in ("superior", "non_inferior", "inconclusive", "inferior")] == [
        1, 0, 1, 0,
    ]  # fmt: skip
    assert half["difference"] == half["median"] == pytest.approx(0.05)


def test_of_several_models_all_are_counted_together_as_well() -> None:
    rows = pd.concat([ROWS, ROWS.assign(model="n", difference=-0.1)])
    table = outcome_table(rows, (0.3,))
    assert list(table["model"]) == ["m", "n", "all"]
    assert list(table["within_margin"]) == [1, 2, 3]
    assert list(table["tasks"]) == [2, 2, 4]


def test_task_table_has_means_over_seeds() -> None:
    again = ROWS.assign(seed=1, pruned=ROWS["pruned"] + 0.02, difference=ROWS["difference"] + 0.02)
    table = task_table(pd.concat([ROWS, again]), 0.3)
    assert list(table["pruned"]) == pytest.approx([1.02, 1.21])
    assert list(table["difference"]) == pytest.approx([0.02, 0.21])
    assert list(table["by_seed"]) == ["+1.0, +3.0 %", "+20.0, +22.0 %"]
    assert list(table["verdicts"]) == ["2 inconclusive"] * 2
    assert list(table["promised"]) == pytest.approx([-0.04, 0.04])
    assert "| +2.0 % | +1.0, +3.0 % | 2 inconclusive |" in markdown_of(table)


def test_verdicts_of_several_seeds_are_counted_the_best_first() -> None:
    more = ROWS[ROWS["dataset"] == "a"].assign(seed=1, verdict="superior")
    table = task_table(pd.concat([ROWS, more]), 0.3)
    assert list(table["by_seed"]) == ["+1.0, +1.0 %", "+20.0 %"]
    assert list(table["verdicts"]) == ["1 superior, 1 inconclusive", "inconclusive"]


def test_horizons_are_counted_apart_and_tasks_of_every_size_can_be_compared() -> None:
    far = row("a", 0.25, 3, horizon=336, difference=0.5)
    rows = pd.concat([ROWS, pd.DataFrame([far, row("c", 0.25, 3)])])
    table = outcome_table(rows)
    assert list(zip(table["cap"], table["horizon"], table["tasks"], strict=True)) == [
        (0.3, 96, 3), (0.3, 336, 1), (0.5, 96, 2),
    ]  # fmt: skip
    pd.testing.assert_frame_equal(common_tasks(rows, (0.3, 0.5)), ROWS)


def test_a_rival_that_is_the_same_model_or_was_not_made_is_no_contest() -> None:
    rows = ROWS.assign(first=[1.01, 0.9, 1.1, 1.3], scratch=ROWS["pruned"])
    table = rival_table(rows, (0.3,)).set_index("rival")
    assert list(table.loc["random", ["leads", "contests"]]) == [1, 2]
    assert list(table.loc["first", ["leads", "contests"]]) == [0, 1]  # the masks differ in one task
    assert table.loc[["scratch", "scratch_replay"], "contests"].tolist() == [0, 0]
    (shown,) = leads_by_rival(table.reset_index()).to_dict("records")
    assert (shown["model"], shown["linear"], shown["scratch"]) == ("m", "2 of 2", "-")


def test_one_seed_is_not_told_twice() -> None:
    assert "by_seed" not in task_table(ROWS, 0.3)


def test_markdown_shows_percent_where_it_is_a_share() -> None:
    text = markdown_of(outcome_table(ROWS, (0.3,)))
    assert "| 30 % | 96 | m | 1 | 2 | 25 % | +10.5 % | +10.5 % | 1 | 0 |" in text
