"""What begins with trained weights takes all its steps; its first or its last weights stay."""

from dataclasses import replace

import pytest
import torch

from tasks.sections.healing import Healing
from tasks.training.healing import HealingJob
from tasks.training.healing_student import HealingStudent
from tasks.training.rivals import tuned_on
from tests.tasks.training.healers import KEEP, healer, option
from tests.tiny import tiny_model


def recorded(
    errors: list[float], *, is_trial: bool = False, may_stay: bool = True
) -> HealingStudent:
    """A student after evaluations with these errors; its weights say at which step."""
    one = HealingStudent(
        name="x",
        model=tiny_model(),
        steps=4,
        learning_rate=1e-3,
        is_trial=is_trial,
        may_stay=may_stay,
    )
    for step, error in enumerate(errors):
        assert not one.is_done
        with torch.no_grad():
            next(one.model.trainable()).fill_(step)
        one.record(error, step, patience=1)
    assert one.is_done
    return one


def kept_step(one: HealingStudent) -> float:
    return float(next(iter(one.best.values())).mean())


@pytest.mark.parametrize("is_trial", [False, True])
def test_it_takes_all_its_steps_and_ends_with_its_last_weights(is_trial: bool) -> None:
    one = recorded([4.0, 1.0, 3.0, 3.0, 2.0], is_trial=is_trial)
    assert (one.best_valid, one.best_step) == (2.0, 4)
    assert bool(one.best) != is_trial
    assert is_trial or kept_step(one) == 4


@pytest.mark.parametrize("end", [4.5, float("nan"), float("inf")])
def test_it_keeps_its_first_weights_where_the_last_are_no_better(end: float) -> None:
    one = recorded([4.0, 1.0, 3.0, 3.0, end])
    assert (one.best_valid, one.best_step, kept_step(one)) == (4.0, 0, 0)


@pytest.mark.parametrize(("end", "kept"), [(4.5, 4), (3.0, 4), (float("nan"), 0)])
def test_where_the_first_may_not_stay_only_a_diverged_end_leaves_them(
    end: float, kept: int
) -> None:
    one = recorded([4.0, 1.0, 3.0, 3.0, end], may_stay=False)
    assert (one.best_step, kept_step(one)) == (kept, kept)
    assert one.best_valid == (end if kept else 4.0)


@pytest.mark.parametrize("may_stay", [True, False])
def test_a_mask_may_stay_unhealed_only_where_the_healer_says_so(may_stay: bool) -> None:
    one = replace(healer(), may_stay=may_stay)
    mask = one.student(HealingJob("mask", KEEP, option("plain")), one.full, KEEP, 4)
    assert mask.may_stay == may_stay
    assert all(rival.may_stay for rival in tuned_on(replace(one, healing=Healing()), 4))


def test_progress_tells_the_latest_error() -> None:
    one = recorded([4.0, 1.0, 3.0, 3.0, 2.0])
    assert one.shown_mse == 2.0
    one.history = [{"step": 2, "valid_mse": 1.0}, {"step": 4, "valid_mse": 3.0}]
    assert one.shown_mse == 3.0
