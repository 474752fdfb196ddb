"""A healed mask: it takes all its steps and ends with its last weights."""

import pytest
import torch

from tasks.training.mask_student import MaskStudent
from tests.tiny import tiny_model


def mask_student(*, is_trial: bool = False) -> MaskStudent:
    return MaskStudent(name="x", model=tiny_model(), steps=4, learning_rate=1e-3, is_trial=is_trial)


@pytest.mark.parametrize("is_trial", [False, True])
def test_a_mask_takes_all_its_steps_and_ends_with_its_last_weights(is_trial: bool) -> None:
    one = mask_student(is_trial=is_trial)
    for step, error in enumerate([4.0, 1.0, 3.0, 3.0, 2.0]):
        assert not one.is_done
        with torch.no_grad():
            next(one.model.trainable()).fill_(step)
        one.record(error, step, patience=1)
    assert one.is_done
    assert (one.best_valid, one.best_step) == (2.0, 4)
    kept = [tensor for name, tensor in one.best.items()][:1]
    assert all(bool((tensor == 4).all()) for tensor in kept)
    assert bool(kept) != is_trial


def test_a_mask_whose_end_is_not_finite_keeps_its_best_weights() -> None:
    one = mask_student()
    for step, error in enumerate([4.0, 1.0, 3.0, 3.0, float("nan")]):
        one.record(error, step, patience=1)
    assert (one.best_valid, one.best_step, one.is_done) == (1.0, 1, True)
