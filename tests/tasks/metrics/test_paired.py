"""Paired tests on errors by time offset."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.metrics.paired import (
    Comparison,
    _resampled_totals,
    block_length_for,
    compare,
    errors_by_offset,
    holm,
    verdict_by,
)

MARGIN, ALPHA = 0.02, 0.05


def judge(other: np.ndarray, pruned: np.ndarray, *, length: int = 10, seed: int = 0) -> Comparison:
    return compare(
        other,
        pruned,
        block_length=length,
        margin=MARGIN,
        alpha=ALPHA,
        samples=499,
        generator=np.random.default_rng(seed),
    )


def smooth(generator: np.random.Generator, rows: int, width: int) -> np.ndarray:
    """Noise with mean 0 and standard deviation 1 that `width` neighbours share."""
    noise = generator.standard_normal(rows + width - 1)
    return np.convolve(noise, np.ones(width), "valid") / np.sqrt(width)


def test_errors_by_offset_keep_the_ratio_of_mean_squared_errors() -> None:
    points, offsets = np.array([4, 2, 0, 4]), np.array([0, 1, 1, 0])
    one, two = np.array([1.0, 2.0, np.nan, 3.0]), np.array([2.0, 2.0, np.nan, 1.0])
    totals = [errors_by_offset(errors, points, offsets) for errors in (one, two)]
    assert totals[0].tolist() == [16.0, 4.0]
    pooled = [np.nansum(errors * points) / points.sum() for errors in (one, two)]
    assert totals[1].sum() / totals[0].sum() == pytest.approx(pooled[1] / pooled[0])


@pytest.mark.parametrize(
    ("num_offsets", "stride", "length"), [(2785, 1, 608), (2785, 10, 61), (900, 1, 300), (4, 1, 1)]
)
def test_block_length(num_offsets: int, stride: int, length: int) -> None:
    assert block_length_for(num_offsets, context=512, horizon=96, stride=stride) == length


def test_resampled_totals_equal_sums_over_the_drawn_offsets() -> None:
    rows = np.random.default_rng(1).random((2, 11))
    found = _resampled_totals(rows, 4, 5, np.random.default_rng(7))
    starts = np.random.default_rng(7).integers(0, 11, size=(5, 3))
    for sample, drawn in enumerate(starts):
        offsets = [
            (start + step) % 11
            for start, length in zip(drawn, (4, 4, 3), strict=True)
            for step in range(length)
        ]
        np.testing.assert_allclose(found[:, sample], rows[:, offsets].sum(axis=1))


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.9, "superior"), (1.0, "non-inferior"), (1.01, "non-inferior"), (1.2, "inferior")],
)
def test_clear_differences_get_their_verdict(factor: float, verdict: str) -> None:
    generator = np.random.default_rng(3)
    other = 1 + 0.1 * smooth(generator, 2000, 10)
    pruned = other * factor + 0.01 * smooth(generator, 2000, 10)
    found = judge(other, pruned)
    assert found.verdict == verdict
    assert found.difference == pytest.approx(pruned.mean() / other.mean() - 1)
    assert found.interval[0] < found.difference < found.interval[1]


def test_equally_good_models_in_strong_noise_are_mostly_inconclusive() -> None:
    generator = np.random.default_rng(4)
    verdicts = []
    for _ in range(100):
        other, pruned = (1 + 0.5 * smooth(generator, 300, 10) for _ in range(2))
        verdicts.append(judge(other, pruned, length=30).verdict)
    assert verdicts.count("inconclusive") >= 85
    assert verdicts.count("superior") <= 10


def test_a_model_is_non_inferior_to_itself_and_not_superior() -> None:
    errors = 1 + 0.1 * smooth(np.random.default_rng(5), 300, 10)
    found = judge(errors, errors)
    assert (found.verdict, found.difference, found.interval) == ("non-inferior", 0.0, (0.0, 0.0))
    assert found.p_superior == 1.0


@pytest.mark.parametrize(
    ("p_noninferior", "p_superior", "p_inferior", "expected"),
    [
        (0.01, 0.05, 0.99, "superior"),
        (0.05, 0.06, 0.95, "non-inferior"),
        (0.06, 0.9, 0.94, "inconclusive"),
        (0.95, 0.99, 0.05, "inferior"),
        (0.94, 0.99, 0.06, "inconclusive"),
    ],
)
def test_ladder_of_verdicts(
    p_noninferior: float, p_superior: float, p_inferior: float, expected: str
) -> None:
    assert verdict_by(p_noninferior, p_superior, p_inferior, alpha=ALPHA) == expected


def test_p_value_of_inferiority_is_that_of_non_inferiority_turned_round() -> None:
    other, pruned = 1 + np.random.default_rng(9).random((2, 200))
    worse, better = judge(other, 1.3 * pruned), judge(other, 0.7 * pruned)
    assert (worse.verdict, better.verdict) == ("inferior", "superior")
    assert worse.p_inferior <= ALPHA < worse.p_noninferior
    assert better.p_noninferior <= ALPHA < better.p_inferior
    same = judge(other, pruned)
    assert same.p_noninferior + same.p_inferior == pytest.approx(1, abs=0.01)


@given(scale=st.sampled_from([2.0**-20, 0.5, 1.0, 2.0**20]), seed=st.integers(0, 100))
def test_verdict_does_not_depend_on_the_unit_of_the_errors(scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    other, pruned = 1 + generator.random((2, 60))
    assert judge(other * scale, pruned * scale) == judge(other, pruned)


def test_same_generator_gives_the_same_result() -> None:
    other, pruned = 1 + np.random.default_rng(6).random((2, 100))
    assert judge(other, pruned, seed=1) == judge(other, pruned, seed=1)
    assert judge(other, pruned, seed=1) != judge(other, pruned, seed=2)


@pytest.mark.parametrize(("rows", "width", "length"), [(600, 24, 150), (2000, 40, 100)])
def test_model_inferior_by_the_margin_is_seldom_called_non_inferior(
    rows: int, width: int, length: int
) -> None:
    generator = np.random.default_rng(8)
    wrong = covered = 0
    trials = 400
    for _ in range(trials):
        common = 1 + 0.3 * smooth(generator, rows, width)
        other = common + 0.1 * smooth(generator, rows, width)
        pruned = (1 + MARGIN) * common + 0.1 * smooth(generator, rows, width)
        found = judge(other, pruned, length=length, seed=int(generator.integers(2**31)))
        wrong += found.p_noninferior <= ALPHA
        covered += found.interval[0] <= MARGIN <= found.interval[1]
    assert wrong / trials <= 0.07
    assert covered / trials >= 0.86


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(DataError, match="at least 3 test windows per series; got 2"):
        judge(np.ones(2), np.ones(2), length=1)


def test_model_without_error_is_refused() -> None:
    with pytest.raises(DataError, match="test error must be above 0"):
        judge(np.zeros(9), np.ones(9), length=3)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.9, 0.02], [1.0, 1.0, 0.06]),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_raw_values_and_bonferroni(p_values: list[float]) -> None:
    adjusted = np.array(holm(p_values))
    assert (adjusted >= p_values).all()
    largest_bonferroni = np.minimum(1, len(p_values) * np.sort(p_values))
    assert (np.sort(adjusted) <= largest_bonferroni).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
