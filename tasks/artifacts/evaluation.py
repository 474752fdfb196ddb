"""What the stages `evaluate` and `measure` write."""

from typing import Literal

from pydantic import Field

from tasks.artifacts.files import Artifact
from tasks.sections.search import Granularity

Verdict = Literal["superior", "non-inferior", "inconclusive", "inferior"]
Recommendation = Literal["take the pruned model", "train a shallow one", "keep the full one"]


class Errors(Artifact):
    """Errors of one forecaster on the test range, on scaled values."""

    mse: float
    mae: float
    mase: float | None  # None where no channel has a usable seasonal scale


class DieboldMariano(Artifact):
    """The pruned model against another one; a negative statistic speaks for the pruned model."""

    statistic: float
    p_value: float  # two-sided
    p_superior: float  # of H0: pruned >= other
    p_noninferior: float  # of H0: pruned >= (1 + margin) other
    p_inferior: float  # of H0: pruned <= (1 + margin) other
    verdict: Verdict  # before Holm, as the bootstrap's


class Evaluation(Artifact):
    """`evaluation/DATASET/MODEL/evaluation.json`: every error on the test range and the verdict."""

    dataset: str
    model: str
    family: str
    backbone_label: str  # e.g. "qwen3, random initialisation"
    num_windows: int
    missing_points: int
    granularity: Granularity = "block"  # what a layer is here
    layers_full: int
    layers_kept: int
    keep: list[int]
    # blocks of each stack of the full model, in the order of their numbers
    stacks: dict[str, int] = Field(default_factory=dict)
    full: Errors  # the better (by validation) of full and full_extra
    full_is: Literal["full", "full_extra"]
    full_untuned: Errors  # the full model as `train` left it
    ways: dict[str, str]  # of the tuned ones, by forecaster: of `healing.options` or `.scratch`
    zero_shot: Errors | None  # of a pretrained start, before any tuning on this dataset
    zero_shot_pruned: Errors | None = None  # the same with the kept blocks alone, not healed
    pruned: Errors
    controls: dict[str, Errors]
    verdict: Verdict  # the bootstrap's, before Holm; `report` corrects over the datasets
    margin: float
    p_value: float  # of non-inferiority
    p_superior: float
    p_inferior: float
    difference: float  # mse_pruned / mse_full - 1
    interval: tuple[float, float]  # of `difference`, bootstrap
    block_length: int
    diebold_mariano: DieboldMariano  # beside the bootstrap; does not decide
    selection_adds: bool  # pruned below the random masks' spread
    valid_mse: dict[str, float]  # every forecaster's validation error, by name
    recommendation: Recommendation
    reason: str


class Latency(Artifact):
    """Milliseconds per batch."""

    p50_ms: float
    p95_ms: float


class Measurement(Artifact):
    """`measurements/DATASET/MODEL.json`: a side file that only `report` reads."""

    dataset: str
    model: str
    machine: str
    threads: list[int]
    full: dict[str, Latency]  # key: "threads=1,batch=8"
    pruned: dict[str, Latency]
    speedup_p50: dict[str, float]
    peak_bytes_full: int
    peak_bytes_pruned: int
    parameters_full: dict[str, int]  # "all", "blocks", "used"
    parameters_pruned: dict[str, int]
    # of `measure.runtimes`: by runtime, as `full` and `pruned`; and why one was left out
    runtimes_full: dict[str, dict[str, Latency]] = Field(default_factory=dict)
    runtimes_pruned: dict[str, dict[str, Latency]] = Field(default_factory=dict)
    runtimes_failed: dict[str, str] = Field(default_factory=dict)
