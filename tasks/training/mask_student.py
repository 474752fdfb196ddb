"""A student that is a healed mask: it ends with its last weights."""

import math
from dataclasses import dataclass
from typing import Literal

from tasks.artifacts.training import TrainingSummary
from tasks.training.recipe import Student


@dataclass(kw_only=True)
class MaskStudent(Student):
    """A mask in healing, which takes all its steps and ends with its last weights.

    The lowest of several noisy validation errors is often an early one, before the rate has fallen
    and the mask has come near its teacher again; it lasts less well on later rows than the end
    does (README, "Ways of healing"). Where the end is not finite, the best checkpoint remains.
    """

    def record(self, valid_mse: float, step: int, patience: int) -> None:
        """Notes a validation error; patience never runs out, and the last weights are kept."""
        if step >= self.steps and math.isfinite(valid_mse):
            self.best_valid = math.inf  # the end counts, whatever came before it
        super().record(valid_mse, step, max(patience, self.steps + 1))

    def summary(self, precision: Literal["fp32", "bf16"]) -> TrainingSummary:
        """How it was healed; still improving where the lowest error came in the last tenth."""
        steps, errors = self._evaluations()
        lowest = steps[errors.index(min(errors))] if errors else self.best_step
        is_late = lowest > 0.9 * self.steps
        return super().summary(precision).model_copy(update={"still_improving": is_late})
