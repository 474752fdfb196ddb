"""The section `search`."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.sections.base import Count, NonNegative, Section, Steps
from tasks.sections.scoring import ScoreName

Granularity = Literal["block", "sublayer"]  # what is scored, searched and dropped as one
SamplerName = Literal["swap", "surrogate", "tpe", "gp", "nsga2", "random"]


class Search(Section):
    """The Optuna search over which blocks to keep."""

    # wanted sizes as shares of all blocks; 1 would keep every block
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.17, 0.25, 0.34], min_length=1
    )
    trials: Count = 200
    exhaustive_limit: Steps = 500  # all masks are tried when they are at most this many
    sampler: SamplerName = "swap"
    batch: Annotated[int, Field(ge=1, le=256)] = 4  # trials sampled from the same history
    valid_windows: Count = 512
    racing: bool = True  # clearly worse masks are stopped before they have seen all windows
    racing_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05  # chance to lose a best mask so
    cost: Literal["share", "latency"] = "share"
    heal_top: Count = 3  # masks of each size that are healed briefly and re-ranked
    # scores whose own masks are healed too, as far as scoring.scores has them; none: []
    heal_scores: list[ScoreName] = Field(default=["few_layer", "block_influence", "removal_loss"])
    # steps of each short healing; from rung to rung fewer masks are left, see searchers/rungs.py
    rungs: list[Steps] = Field(default=[100], min_length=1)
    margin: NonNegative = 0.02

    @model_validator(mode="after")
    def _rungs_rise(self) -> Self:
        if any(low >= high for low, high in pairwise(self.rungs)):
            raise ValueError(f"search.rungs must rise, for example [60, 150]; got {self.rungs}")
        return self
