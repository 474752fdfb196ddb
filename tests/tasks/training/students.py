"""Students of the tiny loop: made, trained, killed at a step, compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.training.loop import Loop
from tasks.training.recipe import Student
from tests.tiny import tiny_loop, tiny_model


def student(
    name: str = "full",
    steps: int = 12,
    distillation: float = 0.0,
    keep: Sequence[int] | None = None,
    seed: int = 0,
) -> Student:
    """A tiny model, or these blocks of it, before its first step."""
    model = tiny_model(seed=seed)
    if keep is not None:
        model = model.with_blocks(keep)
    return Student(
        name=name, model=model, steps=steps, learning_rate=3e-3, distillation=distillation
    )


def trained(folder: Path, one: Student, **changes: object) -> Student:
    """The same student after all its steps, by a recipe with these changes."""
    tiny_loop(folder, [one], **changes).run()
    return one


def weights(one: Student) -> list[torch.Tensor]:
    """In the order of the state dict."""
    return list(one.model.state_dict().values())


def same(a: Student, b: Student) -> bool:
    """Whether weights, history (but for the time) and best error are equal, bit for bit."""
    if without_seconds(a) != without_seconds(b) or a.best_valid != b.best_valid:
        return False
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def without_seconds(one: Student) -> list[dict[str, Any]]:
    """Its history without the time that each step took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in one.history]


class Killed(Exception):
    """Raised in place of a step."""


def run_killed_at(loop: Loop, step: int) -> None:
    """Runs the loop and raises just before optimizer step `step`."""
    original = loop._step

    def step_or_die(number: int) -> None:
        if number == step:
            raise Killed
        original(number)

    loop._step = step_or_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        loop.run()
