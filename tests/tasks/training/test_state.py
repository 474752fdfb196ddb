"""The fingerprint that says whether a checkpoint belongs to a run."""

import pytest
import torch

from tasks.training.state import fingerprint

WEIGHTS = torch.arange(12, dtype=torch.float32).reshape(3, 4)


def test_equal_settings_and_tensors_have_one_fingerprint() -> None:
    assert fingerprint(("a", 1), [WEIGHTS]) == fingerprint(("a", 1), [WEIGHTS.clone()])
    assert fingerprint((), [torch.empty(0, 3), torch.tensor(1.0)])


@pytest.mark.parametrize(
    "other",
    [
        WEIGHTS.roll(1, 0),
        WEIGHTS.reshape(4, 3),
        WEIGHTS.double(),
        WEIGHTS + torch.eye(3, 4) * 1e-6,
        WEIGHTS[:2],
    ],
    ids=["rows swapped", "shape", "precision", "one bit", "shorter"],
)
def test_another_tensor_has_another(other: torch.Tensor) -> None:
    assert fingerprint((), [other]) != fingerprint((), [WEIGHTS])


def test_other_settings_have_another() -> None:
    assert fingerprint(("b",), [WEIGHTS]) != fingerprint(("a",), [WEIGHTS])
