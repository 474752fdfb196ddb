"""What a verdict rests on: a full model trained out, stationary series, a range to choose by."""

import pytest

from tasks.artifacts.training import TrainingSummary
from tasks.metrics.checks import few_training_rows_of, fit_of, short_range_of, stationarity_of
from tests.tasks.figures.made_up_run import made_up_profile, made_up_training


def training(late_change: float, **changes: object) -> TrainingSummary:
    return made_up_training(0.5).model_copy(update={"late_change": late_change, **changes})


def test_a_full_model_that_extra_tuning_makes_better_was_under_fitted() -> None:
    extra = training(-0.2, steps_run=300, valid_mse=0.97 * training(0.0).valid_mse)
    found = fit_of(training(0.0), extra, extra_is_better=True)
    assert (found.still_improving, found.late_change) == (True, pytest.approx(-0.03))
    assert "300 steps of extra tuning changed the full model's" in found.text
    assert "by -3.0%" in found.text
    assert "under-fitted" in found.text


def test_extra_tuning_that_gains_next_to_nothing_speaks_for_it() -> None:
    extra = training(-0.2, valid_mse=0.998 * training(0.0).valid_mse)
    found = fit_of(training(-0.2), extra, extra_is_better=True)
    assert (found.still_improving, found.late_change) == (False, pytest.approx(-0.002))
    assert "under-fitted" not in found.text


def test_extra_tuning_that_found_nothing_better_speaks_for_the_full_model() -> None:
    found = fit_of(training(-0.2), training(-0.1, steps_run=300), extra_is_better=False)
    assert (found.still_improving, found.late_change) == (False, -0.2)
    assert "300 more steps did not lower" in found.text


@pytest.mark.parametrize(("change", "expected"), [(-0.2, True), (0.0, False)])
def test_without_extra_steps_the_training_itself_decides(change: float, expected: bool) -> None:
    found = fit_of(training(change), training(0.0, steps_run=0), extra_is_better=False)
    assert found.still_improving == expected
    assert "when its training ended" in found.text


def test_stationarity_counts_the_tested_series() -> None:
    found = stationarity_of(made_up_profile("demo"))
    assert (found.stationary, found.tested) == (4, 7)
    assert found.share == pytest.approx(4 / 7)


def test_without_tested_series_there_is_no_share() -> None:
    profile = made_up_profile("demo").model_copy(update={"channels": []})
    assert stationarity_of(profile).share is None


@pytest.mark.parametrize(
    ("kind", "horizon", "expected"), [("wide", 200, None), ("wide", 201, 3), ("long", 201, None)]
)
def test_a_validation_range_of_less_than_four_forecasts_is_short(
    kind: str, horizon: int, expected: int | None
) -> None:
    profile = made_up_profile("demo").model_copy(update={"kind": kind, "valid_rows": 800})
    text = short_range_of(profile, horizon)
    if expected is None:
        assert text is None
    else:
        assert f"(800 rows) holds {expected} forecasts of {horizon} rows side by side" in str(text)
        assert "measured on training windows as well" in str(text)


@pytest.mark.parametrize(
    ("kind", "share", "told"), [("wide", 0.1, None), ("wide", 0.099, "(594)"), ("long", 0.01, None)]
)
def test_fewer_rows_than_a_window_are_few(kind: str, share: float, told: str | None) -> None:
    profile = made_up_profile("demo").model_copy(update={"kind": kind, "train_rows": 6000})
    text = few_training_rows_of(profile, share, context=504, horizon=96)
    assert text is None if told is None else told in str(text)
