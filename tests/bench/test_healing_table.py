"""The comparison of healing options: paired by cell, averaged over sizes, with an interval."""

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from tests.bench.healing_table import (
    COLUMNS,
    add_rows,
    as_text,
    compare,
    interval,
    lean,
    marks_of_cell,
    read_rows,
)


def row(**changes: object) -> dict[str, object]:
    made: dict[str, object] = dict.fromkeys(COLUMNS, 0.0)
    made |= {
        "dataset": "etth1", "num_kept": 3, "mask": "even", "seed": 0, "steps": 9, "keep": "0 1",
        "option": "plain", "valid_mse": 1.0, "seconds": 2.0, "mark": "a",
    }  # fmt: skip
    return made | changes


def test_a_row_replaces_the_one_of_the_same_cell_and_option(tmp_path: Path) -> None:
    path = tmp_path / "reports/healing.csv"
    add_rows(path, [row(), row(option="distilled", mark="b")])
    add_rows(path, [row(mark="c"), row(seed=1, mark="d")])
    rows = read_rows(path)
    assert len(rows) == 3
    cell = {"dataset": "etth1", "num_kept": 3, "mask": "even", "seed": 0, "steps": 9}
    assert marks_of_cell(rows, cell) == {"plain": "c", "distilled": "b"}
    assert marks_of_cell(read_rows(tmp_path / "none.csv"), cell) == {}


def test_options_are_compared_in_the_same_cell_and_the_best_comes_first() -> None:
    rows = []
    for seed, (small, large) in enumerate([(0.9, 1.0), (0.8, 1.1), (0.7, 0.9)]):
        for size, factor, plain in ((3, small, 0.5), (6, large, 2.0)):
            shared = {"seed": seed, "num_kept": size}
            rows += [
                row(**shared, valid_mse=plain),
                row(**shared, option="distilled", valid_mse=plain * factor, seconds=3.0),
            ]
    table = compare(pd.DataFrame(rows))
    assert list(table["option"]) == ["distilled", "plain"]
    best = table.iloc[0]
    means = [-0.05, -0.05, -0.2]
    assert best["all"] == pytest.approx(interval(means))
    assert best["3 blocks"][0] == pytest.approx(-0.2)
    assert best["better"] == pytest.approx(4 / 6)
    assert best["time"] == 1.5
    assert table.iloc[1]["all"] == (0, 0, 0)
    assert "| distilled | -10.00 % (" in as_text(table)


def test_the_interval_is_students() -> None:
    values = [0.1, 0.3, 0.2, 0.5]
    low, high = stats.t.interval(0.95, 3, loc=0.275, scale=stats.sem(values))
    assert interval(values) == pytest.approx((0.275, low, high))


def test_the_lean_is_what_another_masks_best_option_costs() -> None:
    errors = {0: {"plain": 1.0, "distilled": 1.1}, 1: {"plain": 1.0, "distilled": 0.8}}
    rows = [
        row(seed=seed, option=option, valid_mse=error)
        for seed, of_seed in errors.items()
        for option, error in of_seed.items()
    ]
    expected = ((1.1 / 1.0 - 1) + (1.0 / 0.8 - 1)) / 2
    assert lean(pd.DataFrame(rows), ["plain", "distilled"]) == pytest.approx(expected)
