"""A student that begins with trained weights: a mask in healing, or the full model tuned on."""

import math
from dataclasses import dataclass
from typing import Literal

from tasks.artifacts.training import TrainingSummary
from tasks.training.recipe import Student


@dataclass(kw_only=True)
class HealingStudent(Student):
    """One that takes all its steps and ends with its last weights, or with its first if better.

    The lowest of several noisy validation errors is often an early one, before the rate has fallen
    (and a mask has come near its teacher again); it lasts less well on later rows than the end
    does (README, "Ways of healing"). Only the first and the last evaluation count.

    Attributes:
        may_stay: whether its first weights may be kept; not those of a mask where the validation
            range is too short to tell by that healing did harm.
    """

    may_stay: bool = True

    def record(self, valid_mse: float, step: int, patience: int | None) -> None:
        """Notes the first and the last validation error; what lies between is passed by."""
        if step >= self.steps and not self.may_stay and math.isfinite(valid_mse):
            self.best_valid = math.inf  # so that the last weights take the place of the first
        if step == 0 or step >= self.steps:
            super().record(valid_mse, step, patience)

    @property
    def shown_mse(self) -> float:
        """The latest validation error, for progress lines."""
        _, errors = self._evaluations()
        return errors[-1] if errors else self.best_valid

    def summary(self, precision: Literal["fp32", "bf16"]) -> TrainingSummary:
        """How it was healed; still improving where the lowest error came in the last tenth."""
        steps, errors = self._evaluations()
        lowest = steps[errors.index(min(errors))] if errors else self.best_step
        is_late = lowest > 0.9 * self.steps
        return super().summary(precision).model_copy(update={"still_improving": is_late})
