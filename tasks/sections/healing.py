"""The section `healing`."""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.sections.base import Count, NonNegative, Positive, Section, Steps

TAUGHT: Final = ("distilled", "hidden", "hidden_cut")
LOSSES: Final = ("plain", *TAUGHT)
SCOPES: Final = ("kept_only", "head_last")
SCHEDULES: Final = ("iterative",)
BATCHES: Final = ("replay",)
SCRATCH_KINDS: Final = frozenset({"plain", "replay"})  # random weights: no teacher, all trained
PATTERN: Final = re.compile(
    r"(?P<kinds>[a-z_+]+)(=(?P<share>\d*\.?\d+))?(@(?P<rate>\d*\.?\d+(e-?\d+)?))?"
)


@dataclass(frozen=True)
class OptionName:
    """A healing option's name taken apart, as "iterative+distilled=0.9@8".

    Attributes:
        kinds: one each of LOSSES, SCOPES, SCHEDULES, BATCHES at most.
        share: of the loss that asks for the teacher's forecast; None: the section's.
        rate: learning rate, times the model's own.
    """

    kinds: tuple[str, ...]
    share: float | None = None
    rate: float = 1.0


def split_option(name: str) -> OptionName:
    """The parts of an option's name. Raises ValueError."""
    groups = {part: group for group in (LOSSES, SCOPES, SCHEDULES, BATCHES) for part in group}
    match = PATTERN.fullmatch(name)
    kinds = tuple(match["kinds"].split("+")) if match else ()
    found = [groups.get(kind) for kind in kinds]
    if match is None or None in found or len(set(found)) < len(found):
        raise ValueError(
            f"a healing option is at most one of {', '.join(LOSSES)}, at most one of "
            f"{', '.join(SCOPES)}, {SCHEDULES[0]} and {BATCHES[0]}, joined by +, as in "
            "iterative+distilled; after them = and the teacher's share of the loss, @ and the "
            "learning rate times the model's own, as in distilled=0.9@8"
        )
    option = OptionName(
        kinds, float(match["share"]) if match["share"] else None, float(match["rate"] or 1)
    )
    if option.share is not None and not (set(kinds) & set(TAUGHT) and 0 < option.share <= 1):
        raise ValueError(
            f"the teacher's share of the loss, after =, is above 0 and at most 1 and needs one of "
            f"{', '.join(TAUGHT)}"
        )
    if not 0 < option.rate < float("inf"):
        raise ValueError("the learning rate of a healing option, after @, must be above 0")
    return option


def _check_option(name: str) -> str:
    split_option(name)
    return name


def _check_scratch(name: str) -> str:
    if not set(split_option(name).kinds) <= SCRATCH_KINDS:
        raise ValueError(
            "a model from scratch is trained by plain, replay or plain+replay, and @ its rate"
        )
    return name


HealingName = Annotated[str, AfterValidator(_check_option)]
ScratchName = Annotated[str, AfterValidator(_check_scratch)]


class Healing(Section):
    """Fine-tuning after pruning; every control gets the same."""

    steps: Steps = 500
    eval_every: Count = 50
    distillation: Annotated[float, Field(ge=0, le=1)] = 0.5  # share of the loss for the teacher
    hidden: NonNegative = 0.1  # weight of its hidden states, of `hidden` and `hidden_cut`
    rounds: Annotated[int, Field(ge=2, le=64)] = 3  # of `iterative`
    replay: Annotated[float, Field(gt=0, lt=1)] = 0.5  # share of a batch, of `replay`
    seam_repair: bool = False  # every option starts with its cuts repaired in closed form
    seam_windows: Count = 256  # of the training range, for the repair
    seam_ridge: Positive = 1e-2  # relative to the inputs' mean square; larger = smaller change
    # all are tried, the best on validation is kept; on the rungs the search heals by the last one
    options: list[HealingName] = Field(default=["plain", "distilled"], min_length=1)
    # ways of training the model from scratch; the best on validation is kept
    scratch: list[ScratchName] = Field(default=["plain"], min_length=1)

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"healing.options must differ; got {self.options}")
        if len(set(self.scratch)) < len(self.scratch):
            raise ValueError(f"healing.scratch must differ; got {self.scratch}")
        return self
