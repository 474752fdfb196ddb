"""Was a model still improving when its training ended?"""

import numpy as np
import pytest

from tasks.artifacts.training import TrainingSummary
from tasks.training.convergence import late_change, was_improving
from tasks.training.recipe import Student
from tests.tiny import tiny_loop, tiny_model


def summary(**changes: object) -> TrainingSummary:
    made = TrainingSummary(
        steps=100,
        steps_run=100,
        best_step=100,
        valid_mse=0.5,
        stopped_early=False,
        still_improving=True,
        learning_rate=1e-3,
        precision="fp32",
        trainable_parameters=10,
    )
    return made.model_copy(update=changes)


def test_a_line_is_found_exactly() -> None:
    steps = list(range(50, 1050, 50))
    assert late_change(steps, [2 - step / 1000 for step in steps]) == pytest.approx(1.0 / 1.2 - 1)


def test_only_the_last_quarter_counts() -> None:
    falling_then_flat = [3.0 - 0.1 * number for number in range(15)] + [1.5] * 5
    assert late_change(range(20), falling_then_flat) == pytest.approx(0)


def test_noise_around_a_level_is_no_fall() -> None:
    errors = 1 + 0.01 * np.array([1, -1, -1, 1] * 10)
    found = late_change(range(40), errors.tolist())
    assert found is not None
    assert abs(found) < 0.005


@pytest.mark.parametrize(
    ("steps", "errors"),
    [([], []), ([1, 2], [1.0, 0.5]), ([1, 2, 3], [float("inf"), 1.0, 0.5]), ([1, 2, 3], [9, 0, 0])],
)
def test_too_little_to_say(steps: list[int], errors: list[float]) -> None:
    assert late_change(steps, errors) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"late_change": -0.02}, True),
        ({"late_change": -0.02, "still_improving": False}, True),
        ({"late_change": -0.004}, False),
        ({"late_change": 0.03}, False),
        ({"late_change": -0.02, "stopped_early": True}, False),
        ({"late_change": None}, True),
        ({"late_change": None, "still_improving": False}, False),
    ],
)
def test_still_improving(changes: dict[str, object], expected: bool) -> None:
    assert was_improving(summary(**changes)) == expected


def test_a_student_tells_its_late_change(tmp_path) -> None:
    student = Student(name="full", model=tiny_model(blocks=1), steps=12, learning_rate=3e-3)
    tiny_loop(tmp_path, [student], eval_every=3).run()
    errors = [row["valid_mse"] for row in student.history if row["valid_mse"] is not None]
    assert len(errors) == 4
    assert student.summary("fp32").late_change == late_change([3, 6, 9, 12], errors)
