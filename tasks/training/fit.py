"""Data and recipe of a training run, as the stages share them."""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.files import write_csv
from tasks.artifacts.training import WHOLE, Timing, TrainingSummary
from tasks.data.series import SeriesSet, load_series
from tasks.data.windows import WindowSet, training_windows, validation_windows
from tasks.models.base import ForecastModel
from tasks.params import Params
from tasks.sections.models import Training
from tasks.training.loop import Loop
from tasks.training.precision import settled_precision
from tasks.training.recipe import Recipe, Student
from tasks.training.replay import Replayed, Windows

HISTORY = ["option", "step", "learning_rate", "train_loss", "valid_mse", "seconds"]


@dataclass(frozen=True)
class TrainingData:
    """Training windows, and validation windows as one tensor; never the test range.

    `kept` are windows of the mix that the model was pretrained on, for batches with replay.
    """

    windows: WindowSet
    valid: Float[Tensor, "valid length"]
    kept: Float[Tensor, "kept length"] | None = None

    def with_replay(self, share: float) -> Windows:
        """The windows to draw batches from, a share of each from the kept ones."""
        if not share:
            return self.windows
        assert self.kept is not None
        return Replayed(self.windows, self.kept, share=share)


def training_data(params: Params, dataset: str, training: Training) -> TrainingData:
    """The windows of data/prepared/DATASET/history."""
    data = load_series(Path("data/prepared") / dataset / "history")
    return windows_of(params, data, training)


def windows_of(params: Params, data: SeriesSet, training: Training) -> TrainingData:
    """Training windows of the last `train_share` rows; evenly spaced validation windows."""
    context, horizon = params.windows.context, params.windows.horizon
    valid = validation_windows(data, context, horizon)
    return TrainingData(
        training_windows(data, context, horizon, share=training.train_share),
        valid.batch(valid.spaced(training.valid_windows)),
    )


def fit(
    model: ForecastModel, training: Training, data: TrainingData, recipe: Recipe, *, what: str
) -> tuple[TrainingSummary, Loop]:
    """Trains one model, or resumes; the model ends with its best weights.

    Where `training.sweep_rates` names learning rates, each is tried first for `sweep_steps`
    steps from the same weights on the same batches, and the best by validation is taken.
    """
    rate, state = training.learning_rate, Path(".state") / what.replace(" ", "/")
    assert rate is not None
    device = next(model.parameters()).device
    sample = data.valid[: recipe.batch_size].to(device)
    recipe = replace(recipe, precision=settled_precision(recipe.precision, model, sample, state))
    tried: dict[str, float] = {}
    for one in training.sweep_rates:
        tried[f"{one:g}"] = _try_rate(
            one, model, training.sweep_steps, data, recipe, state / f"rate-{one:g}", what
        )
    if tried:
        rate = min(training.sweep_rates, key=lambda one: tried[f"{one:g}"])
    student = Student(name="full", model=model, steps=training.steps, learning_rate=rate)
    loop = _loop(student, data, recipe, state, what)
    loop.run()
    return student.summary(loop.precision).model_copy(update={"sweep": tried}), loop


def tuned_rate(trained: TrainingSummary, scale_rate: float) -> float:
    """The learning rate that the sweep of the full model found; without one, the scale's."""
    return trained.learning_rate if trained.sweep else scale_rate


def _try_rate(
    rate: float,
    model: ForecastModel,
    steps: int,
    data: TrainingData,
    recipe: Recipe,
    state: Path,
    what: str,
) -> float:
    """The best validation error of a copy of the model after some training with this rate.

    That before training says nothing of the rate: a start that no rate improves would make all
    rates equal.
    """
    trial = Student(
        name="sweep", model=copy.deepcopy(model), steps=steps, learning_rate=rate, is_trial=True
    )
    _loop(trial, data, recipe, state, f"{what}, rate {rate:g}").run()
    errors = [row["valid_mse"] for row in trial.history if row["valid_mse"] is not None]
    return min((error for error in errors if math.isfinite(error)), default=math.inf)


def _loop(student: Student, data: TrainingData, recipe: Recipe, state: Path, what: str) -> Loop:
    return Loop(
        [student],
        recipe,
        windows=data.windows,
        valid=data.valid,
        state_folder=state,
        what=what,
    )


def write_history(path: Path, students: Sequence[Student]) -> None:
    """The history of all students as CSV, one row per evaluation.

    `train_loss` is the mean and `seconds` the sum since the evaluation before; `seconds` counts
    the student's own computing.
    """
    parts = [_by_evaluation(student.history) for student in students if student.history]
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=HISTORY)
    write_csv(path, frame[HISTORY])


def _by_evaluation(history: list[dict[str, Any]]) -> pd.DataFrame:
    steps = pd.DataFrame(history)
    number = steps["valid_mse"].notna().shift(fill_value=False).cumsum()
    rules = {"train_loss": "mean", "seconds": "sum"}
    return steps.groupby(number).agg({name: rules.get(name, "last") for name in HISTORY})


def write_timing(stage: str, name: str, started: float, **parts: float) -> None:
    """Seconds since `started` (time.perf_counter) and of named parts: timings/STAGE/NAME.json."""
    seconds = {WHOLE: time.perf_counter() - started, **parts}
    Timing(seconds=seconds).write(Path("timings") / stage / f"{name}.json")
