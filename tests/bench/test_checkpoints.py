"""The bench of checkpoints: when patience would have ended a training, and what each rule takes."""

import numpy as np
import pytest

from tests.bench.checkpoints import Checkpoint, judged, until_patience

ALL = np.array([True, True])


def way(*errors: float) -> list[Checkpoint]:
    """Checkpoints with these errors on each of two windows."""
    return [Checkpoint(step, np.array([one, one])) for step, one in enumerate(errors, start=1)]


@pytest.mark.parametrize(
    ("errors", "kept"),
    [
        ((3.0, 2.0, 2.5, 2.5, 1.0), 4),  # what falls later is never reached
        ((3.0, 2.0, 2.5, 1.0, 1.5), 5),
        ((3.0, 3.0, 3.0, 1.0), 3),
        ((3.0,), 1),
    ],
)
def test_patience_ends_a_training_for_good(errors: tuple[float, ...], kept: int) -> None:
    assert len(until_patience(way(*errors), ALL, 2)) == kept


def test_each_rule_takes_its_checkpoint() -> None:
    parts = [np.array([True, False]), np.array([False, True])]
    ways = [way(3.0, 2.0, 2.5, 2.5, 1.0, 1.5)]
    for found in judged(ways, np.ones(2), parts, patience=2):
        expected = {"lowest, patience": 1.0, "lowest": 0.0, "last": 0.5, "best there": 0.0}
        assert found == pytest.approx(expected)
