"""Which checkpoint of a healing lasts: the one with the lowest validation error, or the last.

`python -m tests.bench.checkpoints WORKSPACE` heals the mask that every search of a finished run
chose, by every way of `healing.options`, and keeps the errors of all validation windows at every
evaluation. By the error on one half of the validation range a checkpoint is chosen among those of
all ways; it is judged on the other half, against the full model there, and the other way round. The
test range is not read. WORKSPACE is a folder with params.yaml, models/ and search/, for example
.state/presets/study-full/h96-s0-k25; ten minutes on two cores for its 18 models, with one process
each for half of the datasets (`--datasets`).
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from tasks.artifacts.search import SearchResult
from tasks.data.series import load_series
from tasks.data.windows import validation_windows
from tasks.masks.errors import window_errors
from tasks.metrics.study import markdown_of
from tasks.models.base import ForecastModel
from tasks.models.registry import load_in_units, load_model
from tasks.params import Params, load_params
from tasks.runtime import set_threads
from tasks.training.healing import Healer, HealingJob, make_healer
from tasks.training.loop import Loop

Errors = Float[np.ndarray, " windows"]


@dataclass(frozen=True)
class Checkpoint:
    """Squared errors of a student on every validation window after some steps."""

    step: int
    errors: Errors


class Recording(Loop):
    """A loop of one student that keeps the errors of every checkpoint."""

    checkpoints: list[Checkpoint]

    def _evaluate(self, step: int) -> None:
        super()._evaluate(step)
        if step:
            errors = errors_of(self.students[0].model, self.valid)
            self.checkpoints = [*getattr(self, "checkpoints", []), Checkpoint(step, errors)]


def errors_of(model: ForecastModel, windows: Float[Tensor, "valid length"]) -> Errors:
    """Sums of squared errors of every window."""
    whole = tuple(range(model.num_blocks))
    return window_errors(model, [whole], windows)[0].numpy()


def halves(params: Params, dataset: str, count: int) -> list[Bool[np.ndarray, " windows"]]:
    """The validation windows of the first and of the second half; none has a target in both."""
    history = load_series(Path("data/prepared") / dataset / "history")
    windows = validation_windows(history, params.windows.context, params.windows.horizon)
    places = windows.locate(windows.spaced(count))[1].numpy()
    middle, gap = places.max() / 2, params.windows.horizon / 2
    return [places < middle - gap, places > middle + gap]


def record(healer: Healer, keep: Sequence[int], steps: int) -> list[Checkpoint]:
    """The checkpoints of every way of healing a mask."""
    found: list[Checkpoint] = []
    for option in healer.options:
        student = healer.student(
            HealingJob(option.name, tuple(keep), option), healer.full, keep, steps
        )
        with tempfile.TemporaryDirectory() as state:
            loop = Recording(
                [student],
                healer.recipe,
                windows=healer.data.with_replay(option.replay),
                valid=healer.data.valid,
                state_folder=Path(state),
                what=option.name,
                teacher=healer.teacher,
            )
            loop.run()
        found += loop.checkpoints
    return found


def judged(
    checkpoints: Sequence[Checkpoint],
    full: Errors,
    parts: Sequence[Bool[np.ndarray, " windows"]],
) -> Iterator[dict[str, float]]:
    """For both directions: each rule's choice on the other half, relative to the full model."""
    end = max(one.step for one in checkpoints)
    last = [one for one in checkpoints if one.step == end]
    for chosen_on, judged_on in (parts, parts[::-1]):

        def by_error(one: Checkpoint, on: Bool[np.ndarray, " windows"] = chosen_on) -> float:
            return float(one.errors[on].sum())

        def outcome(one: Checkpoint, on: Bool[np.ndarray, " windows"] = judged_on) -> float:
            return float(one.errors[on].sum() / full[on].sum() - 1)

        yield {
            "lowest": outcome(min(checkpoints, key=by_error)),
            "last": outcome(min(last, key=by_error)),
            "best there": min(map(outcome, checkpoints)),
        }


def measure(params: Params, dataset: str, model: str) -> list[dict[str, object]]:
    """One row per direction."""
    pair = f"{dataset}/{model}"
    search = SearchResult.read(Path("search") / pair / "search.json")
    full = load_in_units(Path("models/full") / pair, search.granularity)
    teacher = load_model(Path("search") / pair / "full_extra")
    healer = make_healer(params, dataset, model, full=full, teacher=teacher)
    checkpoints = record(healer, search.keep, params.healing.steps)
    parts = halves(params, dataset, len(healer.data.valid))
    full_errors = errors_of(teacher, healer.data.valid)
    names = ("second half", "first half")
    return [
        {"dataset": dataset, "model": model, "judged on": name} | row
        for name, row in zip(names, judged(checkpoints, full_errors, parts), strict=True)
    ]


def main() -> None:
    """Prints the table and its means."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.checkpoints", description="Which checkpoint of a healing lasts."
    )
    parser.add_argument("workspace", type=Path, help="of a finished run")
    parser.add_argument("--datasets", nargs="+", help="only these")
    args = parser.parse_args()
    os.chdir(args.workspace)
    set_threads(1)
    params = load_params(Path("params.yaml"))
    rows = [
        row
        for dataset in args.datasets or params.run.datasets
        for model in params.run.models
        for row in measure(params, dataset, model)
    ]
    table = pd.DataFrame(rows)
    means = table.groupby("dataset", sort=False)[["lowest", "last", "best there"]].mean()
    shown = pd.concat([table, means.reset_index().assign(model="mean")]).fillna("")
    for rule in ("lowest", "last", "best there"):
        shown[rule] = [f"{value:+.1%}" for value in shown[rule]]
    print(markdown_of(shown))


if __name__ == "__main__":
    main()
