"""The section `scoring`: which layer scores, measured on what, with what options."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.sections.base import Count, Depth, NonNegative, Positive, Section, Share

ScoreName = Literal[
    "few_layer",
    "block_influence",
    "angular",
    "cka",
    "removal_loss",
    "removal_greedy",
    "taylor",
    "gate",
]
DrawName = Literal["spaced", "random", "stratified"]


class FewLayer(Section):
    """The paper's idea, our reconstruction: inter-layer shift and token diversity.

    The defaults come from 12 pairs of dataset and model (`python -m tests.bench.scores`, README).
    """

    alpha: Share = 0.75
    predecessors: Depth = 3
    combine: Literal["mean", "product"] = "mean"
    tau: Share = 0.3  # share of the total score that the automatic count must hold
    exempt: list[Literal["first", "last"]] = Field(default=["first"])


class Angular(Section):
    """Angular distance over contiguous blocks (arXiv 2403.17887)."""

    tokens: Literal["last", "all"] = "last"  # last: as in the paper, the token that forecasts


class Cka(Section):
    """Runs of blocks with alike representations (arXiv 2409.12915)."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.95  # least CKA within a run


class Gate(Section):
    """A learned scalar per block, the network frozen."""

    steps: Count = 60
    learning_rate: Positive = 0.05  # Adam's; a gate falls from 1 to 0 in 1 / rate steps at most
    penalty: NonNegative = 0.02  # per block, relative to the full model's error


class Sensitivity(Section):
    """Other calibration windows that the scores are compared on; an empty list turns it off."""

    windows: list[Count] = Field(default=[64, 1024])
    draws: list[DrawName] = Field(default=["spaced"])


class Scoring(Section):
    """Layer scores on calibration windows."""

    scores: list[ScoreName] = Field(
        default=["few_layer", "block_influence", "angular", "cka", "removal_loss"], min_length=1
    )
    source: Literal["validation", "training"] = "validation"  # the first half of validation
    draw: DrawName = "spaced"
    calibration_windows: Count = 256
    batch_size: Count = 64
    sublayers: bool = False  # of blocks also the removal loss of attention and MLP
    few_layer: FewLayer = FewLayer()
    angular: Angular = Angular()
    cka: Cka = Cka()
    gate: Gate = Gate()
    sensitivity: Sensitivity = Sensitivity()

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if len(set(self.scores)) < len(self.scores):
            raise ValueError(f"scores must name each score once; got {', '.join(self.scores)}")
        return self
