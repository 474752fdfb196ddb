"""Everything the report reads, as one frozen value per dataset and model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Evaluation, Measurement
from tasks.artifacts.files import read_json
from tasks.artifacts.scoring import Scores
from tasks.artifacts.search import SearchResult
from tasks.artifacts.training import ControlSummary, PruneSummary, Timing, TrainingSummary
from tasks.errors import ArtifactError
from tasks.figures.units import Units
from tasks.metrics.stability import Stability

# Controls that are no model folder under models/controls/.
BASELINES = ("seasonal_naive", "linear")

HISTORY_COLUMNS = ("step", "train_loss", "valid_mse")
TRIAL_COLUMNS = ("number", "keep", "num_kept", "source", "valid_mse", "cost", "windows")
FRONT_COLUMNS = ("num_kept", "cost", "valid_mse", "keep")

Made = TypeVar("Made", Evaluation, Measurement, Scores, SearchResult, Stability)


class SampleForecast(BaseModel):
    """One test window drawn in the report, on scaled values; None where a value is missing."""

    model_config = ConfigDict(frozen=True)

    series: str | int
    start: str | int
    context: list[float | None]
    actual: list[float | None]
    full: list[float | None]
    pruned: list[float | None]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """All artifacts of one dataset and model."""

    dataset: str
    model: str
    profile: Profile
    evaluation: Evaluation
    measurement: Measurement
    scores: Scores
    search: SearchResult
    stability: Stability
    trials: pd.DataFrame
    front: pd.DataFrame
    training: TrainingSummary
    history: pd.DataFrame
    prune: PruneSummary
    healing: pd.DataFrame
    controls: dict[str, ControlSummary]
    per_step: pd.DataFrame
    forecasts: list[SampleForecast]
    timings: dict[str, Timing]  # by stage, of the stages that left one

    @property
    def units(self) -> Units:
        """How what was kept and dropped is named."""
        return Units(self.search.granularity)

    @property
    def is_stopped(self) -> "pd.Series[bool]":
        """Of every trial whether the race stopped it, so that its error is an estimate."""
        stopped: pd.Series[bool] = self.trials["windows"] < self.trials["windows"].max()
        return stopped


def read_pair(root: Path, *, dataset: str, model: str) -> Pair:
    """Reads the artifacts of one dataset and model below `root`.

    Raises:
        ArtifactError: a file is missing, torn, of another form or of another pair.
    """
    name = Path(dataset, model)
    evaluation = _read_own(Evaluation, root / "evaluation" / name, Path("evaluation"))
    search = root / "search" / name
    return Pair(
        dataset=dataset,
        model=model,
        profile=Profile.read(root / "data/prepared" / dataset / "profile.json"),
        evaluation=evaluation,
        measurement=_read_own(Measurement, root / "measurements", name),
        scores=_read_own(Scores, root / "scores", name),
        search=_read_own(SearchResult, search, Path("search")),
        stability=_read_stability(root / "stability", name),
        trials=read_table(search / "trials.csv", TRIAL_COLUMNS),
        front=read_table(search / "front.csv", FRONT_COLUMNS),
        training=TrainingSummary.read(root / "models/full" / name / "training.json"),
        history=read_table(root / "plots/train" / f"{name}.csv", HISTORY_COLUMNS),
        prune=PruneSummary.read(root / "models/pruned" / name / "prune.json"),
        healing=read_table(root / "plots/heal" / f"{name}.csv", ("option", *HISTORY_COLUMNS)),
        controls=_read_controls(root / "models/controls" / name, evaluation),
        per_step=read_table(
            root / "evaluation" / name / "per_step.csv", ("step", "full", "pruned")
        ),
        forecasts=read_forecasts(root / "evaluation" / name / "forecasts.json"),
        timings=_read_timings(root / "timings", name),
    )


def _read_own(kind: type[Made], folder: Path, name: Path) -> Made:
    """Reads `folder/name.json`; where the path names a pair, the file must be of that pair."""
    path = folder / f"{name}.json"
    artifact = kind.read(path)
    made_of = (artifact.dataset, artifact.model)
    wanted = name.parts if len(name.parts) > 1 else folder.parts[-2:]
    if made_of != tuple(wanted):
        raise ArtifactError(
            f"{path}: must be of {'/'.join(wanted)}; it says {'/'.join(made_of)}; "
            "run its stage again"
        )
    return artifact


def _read_stability(folder: Path, name: Path) -> Stability:
    """The stage's settings and those of every file NAME.*.json beside it (other trainings)."""
    own = _read_own(Stability, folder, name)
    others = [Stability.read(path) for path in sorted(folder.glob(f"{name}.*.json"))]
    settings = [setting for one in (own, *others) for setting in one.settings]
    return own.model_copy(update={"settings": settings})


def _read_controls(folder: Path, evaluation: Evaluation) -> dict[str, ControlSummary]:
    names = [name for name in evaluation.controls if name not in BASELINES]
    return {name: ControlSummary.read(folder / name / "control.json") for name in names}


def _read_timings(folder: Path, name: Path) -> dict[str, Timing]:
    found = sorted(folder.glob(f"*/{name}.json"))
    return {path.relative_to(folder).parts[0]: Timing.read(path) for path in found}


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Reads a CSV that must have at least these columns; `keep`, `source` and `option` as text.

    Raises:
        ArtifactError: missing, not a table, or a column is missing.
    """
    text = dict.fromkeys(("keep", "source", "option"), str)
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; run `dvc repro` to make it") from error
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: not a CSV table ({reason}); run its stage again") from error
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise ArtifactError(
            f"{path}: must have the column {absent[0]!r}; it has {', '.join(frame.columns)}; "
            "run its stage again"
        )
    return frame


def read_forecasts(path: Path) -> list[SampleForecast]:
    """Reads the sample forecasts. Raises ArtifactError."""
    content = read_json(path)
    try:
        return TypeAdapter(list[SampleForecast]).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{path}: not a list of forecasts: {place}: {first['msg']}; run its stage again"
        ) from error
