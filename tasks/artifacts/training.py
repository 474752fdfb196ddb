"""What is written beside the weights of a model, and how long a stage took."""

from typing import Literal

from pydantic import Field

from tasks.artifacts.files import Artifact
from tasks.sections.models import Scale
from tasks.sections.search import Granularity


class TrainingSummary(Artifact):
    """How one model was trained; beside `history.csv` (step, train_loss, valid_mse, ...)."""

    steps: int  # asked for
    steps_run: int
    best_step: int
    valid_mse: float  # of the best checkpoint
    stopped_early: bool
    still_improving: bool  # best evaluation within the last tenth of the steps asked for
    late_change: float | None = None  # of valid_mse over the last evaluations, relative
    learning_rate: float
    precision: Literal["fp32", "bf16"]
    trainable_parameters: int
    sweep: dict[str, float] = Field(
        default_factory=dict
    )  # validation MSE by learning rate tried first


class HealedOption(Artifact):
    """One way of healing the chosen mask."""

    name: str  # as in `healing.options`
    training: TrainingSummary


class PruneSummary(Artifact):
    """`models/pruned/DATASET/MODEL/prune.json`."""

    granularity: Granularity = "block"
    keep: list[int]
    valid_mse_unhealed: float
    options: list[HealedOption]
    chosen: str  # one of the options, by validation error


class ControlSummary(Artifact):
    """`models/controls/DATASET/MODEL/NAME/control.json`, beside the control's weights."""

    name: str
    keep: list[int] | None  # None: not a mask of the full model (scratch)
    way: str  # it was trained in, of `healing.options` or `healing.scratch`
    training: TrainingSummary


class ParentModel(Artifact):
    """The checkpoint that weights come from, as far as it is known."""

    id: str | None  # on the hub
    revision: str | None
    license: dict[str, str]  # license and, beside it, license_name and license_link
    sha256: dict[str, str]  # of its weights, by file name


class StartSummary(Artifact):
    """`models/start/MODEL/start.json`: where the weights of a model entry come from."""

    origin: str
    scale: Scale | None  # resolved, so that no later stage depends on others; None: it has none
    learning_rate: float  # of the scale or the entry, where `training` names none
    source_sha256: dict[str, str]  # of the checkpoint's files; empty for random weights
    parent: ParentModel | None = None  # None: random weights, or pretrained on a mix


WHOLE = "all"  # of `Timing.seconds`


class Timing(Artifact):
    """`timings/STAGE/DATASET/MODEL.json`: seconds of a stage, "all" of it and by part.

    Only `report` reads it.
    """

    seconds: dict[str, float]
