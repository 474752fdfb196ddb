"""The bench of checkpoints: what each rule takes."""

import numpy as np
import pytest

from tests.bench.checkpoints import Checkpoint, judged


def way(*errors: float) -> list[Checkpoint]:
    """Checkpoints with these errors on each of two windows."""
    return [Checkpoint(step, np.array([one, one])) for step, one in enumerate(errors, start=1)]


def test_each_rule_takes_its_checkpoint() -> None:
    parts = [np.array([True, False]), np.array([False, True])]
    ways = [way(3.0, 2.0, 2.5, 2.5, 1.0, 1.5)]
    for found in judged(ways, np.ones(2), parts):
        assert found == pytest.approx({"lowest": 0.0, "last": 0.5, "best there": 0.0})
    for found in judged(ways, np.ones(2), parts, [Checkpoint(0, np.array([1.2, 1.2]))]):
        assert found == pytest.approx({"lowest": 0.0, "last": 0.2, "best there": 0.0})
