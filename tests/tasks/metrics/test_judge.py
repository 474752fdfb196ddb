"""Comparisons and tables from the outcomes of a panel."""

import numpy as np
import pytest
import torch

from tasks.artifacts.evaluation import Errors
from tasks.data.series import Series, SeriesSet
from tasks.data.windows import test_windows as windows_of_test
from tasks.metrics.judge import compare_with_all, sample_forecasts, step_table
from tasks.metrics.panel import Outcome, middles, window_table
from tasks.sections.judging import Evaluation

CONTEXT, HORIZON = 6, 2
SETTINGS = Evaluation(bootstrap_samples=100)


@pytest.fixture
def data() -> SeriesSet:
    values = np.arange(40, dtype=np.float32)
    values[17] = np.nan
    rows = (Series("a", 0, 20, CONTEXT, 0.0, 1.0), Series("b", 20, 20, CONTEXT, 0.0, 1.0))
    return SeriesSet(values, rows)


def outcome(level: float, num_windows: int) -> Outcome:
    generator = np.random.default_rng(0)
    return Outcome(
        errors=Errors(mse=level, mae=level, mase=None),
        per_step=np.full(HORIZON, level),
        windows=(level * (1 + generator.random(num_windows))).astype(np.float32),
        samples=np.full((2, HORIZON), level, dtype=np.float32),
    )


def test_control_without_error_is_left_out_of_the_comparisons(data: SeriesSet) -> None:
    windows = windows_of_test(data, CONTEXT, HORIZON, stride=1)
    levels = {"full": 1.0, "pruned": 0.5, "perfect": 0.0, "zero": 2.0}
    found = compare_with_all(
        {name: outcome(level, len(windows)) for name, level in levels.items()},
        window_table(windows, batch_size=5),
        shape=windows,
        settings=SETTINGS,
        generator_for=lambda name: np.random.default_rng(len(name)),
    )
    assert set(found) == {"full", "zero"}
    assert found["full"][0].difference == pytest.approx(-0.5)
    assert found["full"][0].block_length == 13 // 3


def test_window_table_counts_observed_targets(data: SeriesSet) -> None:
    windows = windows_of_test(data, CONTEXT, HORIZON, stride=1)
    table = window_table(windows, batch_size=5)
    assert table["series"].tolist() == [0] * 13 + [1] * 13
    assert table["offset"].tolist() == [*range(13), *range(13)]
    assert table["points"].tolist() == [2] * 10 + [1, 1, 2] + [2] * 13


def test_middles_lie_in_equal_parts(data: SeriesSet) -> None:
    windows = windows_of_test(data, CONTEXT, HORIZON, stride=1)
    assert middles(windows, 2).tolist() == [6, 19]
    assert middles(windows, 0).tolist() == []
    assert middles(windows, 100).tolist() == list(range(26))


def test_samples_show_missing_values_as_null(data: SeriesSet) -> None:
    windows = windows_of_test(data, CONTEXT, HORIZON, stride=1)
    outcomes = {"full": outcome(1.0, 26), "pruned": outcome(0.5, 26)}
    first, second = sample_forecasts(outcomes, data, windows, torch.tensor([10, 13]))
    assert (first["series"], first["start"], first["actual"]) == ("a", 10, [16.0, None])
    assert (second["series"], second["start"]) == ("b", 0)
    assert second["context"] == [22.0, 23.0, 24.0, 25.0]
    assert second["pruned"] == [0.5, 0.5]


def test_step_table_counts_from_one() -> None:
    table = step_table({"full": outcome(1.0, 3)}, HORIZON)
    assert table.to_dict("list") == {"step": [1, 2], "full": [1.0, 1.0]}
