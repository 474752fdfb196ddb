"""Entries of the section `models` for published families."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tasks.sections.base import Positive, Section
from tasks.sections.models import PretrainedStart, RandomStart, Start, check_training

ZooFamily = Literal[
    "chronos_bolt",
    "chronos2",
    "chronos_t5",
    "timesfm2",
    "timesfm2_5",
    "patchtst",
    "sundial",
    "timer",
    "time_moe",
    "moirai",
    "moirai2",
    "moment",
    "timellm",
    "custom",
]


class ZooEntry(Section):
    """A published model: its family, where its weights start, and its training overrides.

    A checkpoint (start of kind folder or hub) is imported once (`run.imports`); entries of the same
    family start from it (kind pretrained) and are tuned and pruned.
    """

    family: ZooFamily
    start: Start
    shape: dict[str, Any] = Field(default_factory=dict)  # of a random start: the library's config
    options: dict[str, Any] = Field(default_factory=dict)  # of the family, see its file
    learning_rate: Positive = 1e-4
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _start_fits(self) -> Self:
        if self.shape and not isinstance(self.start, RandomStart):
            raise ValueError("shape belongs to a random start; a checkpoint brings its own")
        if self.options and isinstance(self.start, PretrainedStart):
            raise ValueError(
                f"options belong to the entry {self.start.model!r}, which this starts from"
            )
        check_training(self.training)
        return self
