"""Typed files that cross a stage boundary, written atomically.

A file gets a temporary name beside its own, is flushed and renamed: no reader meets half of one.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import ArtifactError
from tasks.sections import Scale
from tasks.sections_search import Granularity

Verdict = Literal["superior", "non-inferior", "inconclusive", "inferior"]
Recommendation = Literal["take the pruned model", "train a shallow one", "keep the full one"]


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary path beside `path`, flushes it and renames it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda temporary: _write_plain(temporary, text))


def _write_plain(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def link_or_copy(source: str, target: str) -> None:
    """Makes `target` the same file as `source`, or a copy where a hard link is not possible.

    No file that a stage wrote is changed in place, so one stands for both; weights are large.
    """
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a frame as CSV without its index, atomically."""
    write_text(path, frame.to_csv(index=False))


def read_json(path: Path) -> object:
    """The content of a JSON file. Raises ArtifactError when missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; run `dvc repro` to make it") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error}); run its stage again") from error


class Artifact(BaseModel):
    """Base of every JSON artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")

    def write(self, path: Path) -> None:
        """Writes the artifact as indented JSON, atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and validates the artifact. Raises ArtifactError."""
        content = read_json(path)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ArtifactError(
                f"{path}: not a {cls.__name__}: {place}: {first['msg']}; run its stage again"
            ) from error


class ChannelProfile(Artifact):
    """One channel (series) of a dataset."""

    name: str
    rows: int
    missing: int
    is_constant: bool
    mean: float | None
    std: float | None
    adf_p_value: float | None  # augmented Dickey-Fuller on the training range; small = stationary


class Profile(Artifact):
    """What `prepare` found in a dataset."""

    dataset: str
    kind: Literal["wide", "long", "collection", "joined"]
    files: list[str]
    rows: int
    channels: list[ChannelProfile]  # of a collection: empty
    num_series: int
    num_points: int
    freq: str | None
    first: str | None
    last: str | None
    missing_share: float
    gaps: int  # missing time stamps put in as missing rows
    duplicates_dropped: int
    fixed: list[str]  # what was repaired, one line each
    warnings: list[str]
    dropped_series: list[str]
    season: int  # rows per season, used by seasonal naive and MASE
    train_rows: int  # of the longest series
    valid_rows: int
    test_rows: int
    synthetic: bool = False


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
    sweep: dict[str, float] = {}  # validation MSE by learning rate tried first


class Candidate(Artifact):
    """One mask that climbed the rungs."""

    keep: list[int]
    source: str  # the score or sampler that proposed it first
    valid_mse_before: float
    valid_mse_healed: list[float]  # after each rung that it reached
    valid_mse_fully_healed: float | None = None  # the best of each size only
    cost: float


class SearchResult(Artifact):
    """`search/DATASET/MODEL/search.json`; beside `trials.csv` and `front.csv`."""

    dataset: str
    model: str
    granularity: Granularity = "block"  # sublayer: `blocks` and `keep` count and number sublayers
    num_blocks: int
    sizes: list[int]
    exhaustive: bool
    num_masks: int  # different masks measured
    num_trials: int
    full_valid_mse: float  # of the better of the full model and full_extra
    margin: float
    candidates: list[Candidate]
    rungs: list[int]  # healing steps of each
    rank_correlations: list[float | None]  # Kendall's tau of each rung with the ranking before it
    rank_correlation_by_size: dict[str, float | None]  # unhealed with the first rung
    keep: list[int]  # the choice, original indices of the full model
    within_margin: bool
    reason: str


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
    training: TrainingSummary


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
    full: Errors  # the better (by validation) of full and full_extra
    full_is: Literal["full", "full_extra"]
    full_untuned: Errors  # the full model as `train` left it
    zero_shot: Errors | None  # of a pretrained start, before any tuning on this dataset
    pruned: Errors
    controls: dict[str, Errors]
    verdict: Verdict  # the bootstrap's, before Holm; `report` corrects over the datasets
    margin: float
    p_value: float  # of non-inferiority
    p_superior: float
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


class Timing(Artifact):
    """`timings/STAGE/DATASET/MODEL.json`: seconds by part of a stage; only `report` reads it."""

    seconds: dict[str, float]


class StartSummary(Artifact):
    """`models/start/MODEL/start.json`: where the weights of a model entry come from."""

    origin: str
    scale: Scale  # resolved, so that no later stage depends on the other scales
    source_sha256: dict[str, str]  # of the checkpoint's files; empty for random weights
