"""The section `healing`."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.sections.base import Count, NonNegative, Positive, Section, Steps

LOSSES = ("plain", "distilled", "hidden", "hidden_cut")
SCOPES = ("kept_only", "head_last")
SCHEDULES = ("iterative",)


def _check_option(name: str) -> str:
    groups = {part: group for group in (LOSSES, SCOPES, SCHEDULES) for part in group}
    parts = name.split("+")
    found = [groups.get(part) for part in parts]
    if None in found or len(set(found)) < len(found):
        raise ValueError(
            f"a healing option is at most one of {', '.join(LOSSES)}, at most one of "
            f"{', '.join(SCOPES)}, and {SCHEDULES[0]}, joined by +, as in iterative+distilled"
        )
    return name


HealingName = Annotated[str, AfterValidator(_check_option)]


class Healing(Section):
    """Fine-tuning after pruning; every control gets the same."""

    steps: Steps = 500
    learning_rate: Positive | None = None  # None: the scale's
    patience: Count = 8
    eval_every: Count = 50
    distillation: Annotated[float, Field(ge=0, le=1)] = 0.5  # share of the loss for the teacher
    hidden: NonNegative = 0.1  # weight of its hidden states, of `hidden` and `hidden_cut`
    rounds: Annotated[int, Field(ge=2, le=64)] = 3  # of `iterative`
    seam_repair: bool = False  # every option starts with its cuts repaired in closed form
    seam_windows: Count = 256  # of the training range, for the repair
    seam_ridge: Positive = 1e-2  # relative to the inputs' mean square; larger = smaller change
    # all are tried, the best on validation is kept; the search heals by the last one
    options: list[HealingName] = Field(default=["plain", "distilled"], min_length=1)

    @model_validator(mode="after")
    def _options_differ(self) -> Self:
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"healing.options must differ; got {self.options}")
        return self
