"""Diebold and Mariano's test on errors by time offset."""

import numpy as np
import pytest
from scipy import stats

from tasks.artifacts.evaluation import DieboldMariano
from tasks.metrics.diebold import diebold_mariano

MARGIN, ALPHA = 0.02, 0.05


def judge(other: np.ndarray, pruned: np.ndarray, *, overlap: int = 1) -> DieboldMariano:
    return diebold_mariano(other, pruned, overlap=overlap, margin=MARGIN, alpha=ALPHA)


def test_test_of_independent_errors_is_the_paired_t_test() -> None:
    other, pruned = np.random.default_rng(9).random((2, 50))
    found = judge(other, pruned)
    expected = stats.ttest_rel(pruned, other)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)
    less = stats.ttest_rel(pruned, other, alternative="less")
    assert found.p_superior == pytest.approx(less.pvalue)
    at_margin = stats.ttest_rel(pruned, (1 + MARGIN) * other, alternative="less")
    assert found.p_noninferior == pytest.approx(at_margin.pvalue)


def test_statistic_equals_the_formula_of_harvey_et_al() -> None:
    other, pruned = np.random.default_rng(10).random((2, 40))
    loss, steps, num = pruned - other, 3, 40
    gamma = [np.sum((loss - loss.mean())[k:] * (loss - loss.mean())[: num - k]) for k in range(3)]
    statistic = loss.mean() / np.sqrt((gamma[0] + 2 * gamma[1] + 2 * gamma[2]) / num**2)
    corrected = statistic * np.sqrt((num + 1 - 2 * steps + steps * (steps - 1) / num) / num)
    assert judge(other, pruned, overlap=3).statistic == pytest.approx(corrected)


def test_equal_errors_that_do_not_vary_say_nothing() -> None:
    found = judge(np.ones(10), np.ones(10), overlap=4)
    assert (found.statistic, found.p_value, found.p_superior) == (0.0, 1.0, 1.0)
    assert found.verdict == "inconclusive"


def test_variance_that_is_not_positive_is_survived() -> None:
    alternating = np.tile([1.0, 2.0], 10)
    assert np.isfinite(judge(np.ones(20), alternating, overlap=2).statistic)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.9, "superior"), (1.0, "non-inferior"), (1.02, "inconclusive"), (1.2, "inferior")],
)
def test_clear_differences_get_their_verdict(factor: float, verdict: str) -> None:
    generator = np.random.default_rng(4)
    other = 1 + 0.1 * generator.standard_normal(2000)
    pruned = other * factor + 0.01 * generator.standard_normal(2000)
    pruned += factor * other.mean() - pruned.mean()
    assert judge(other, pruned).verdict == verdict


def test_verdict_does_not_depend_on_the_unit_of_the_errors() -> None:
    other, pruned = 1 + np.random.default_rng(5).random((2, 60))
    assert judge(4 * other, 4 * pruned, overlap=3) == judge(other, pruned, overlap=3)
