"""Which checkpoint of a healing lasts: the one with the lowest validation error, or the last.

`python -m tests.bench.checkpoints WORKSPACE` heals the mask that every search of a finished run
chose, by every way of `healing.options`, and keeps the errors of all validation windows at every
evaluation. By the error on one half of the validation range a checkpoint is chosen among those of
all ways; it is judged on the other half, against the full model there, and the other way round. The
test range is not read. `--arms full_extra scratch scratch_replay` does the same with its rivals, by
every way of `healing.options` and of `healing.scratch`. WORKSPACE is a folder with params.yaml,
models/ and search/, for example .state/presets/study-full/h96-s0-k25; ten minutes on two cores for
its 18 models (half an hour and more for the rivals), with one process each for half of the datasets
(`--datasets`).
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from tasks.artifacts.files import write_csv
from tasks.artifacts.search import SearchResult
from tasks.artifacts.training import StartSummary, TrainingSummary
from tasks.controls import scratch_model
from tasks.data.series import load_series
from tasks.data.windows import validation_windows
from tasks.masks.errors import window_errors
from tasks.masks.mask import Mask
from tasks.metrics.study import markdown_of
from tasks.models.base import ForecastModel
from tasks.models.registry import load_in_units, load_model
from tasks.params import Params, load_params
from tasks.runtime import set_threads
from tasks.training.healing import Healer, HealingJob, make_healer
from tasks.training.loop import Loop
from tasks.training.recipe import Student
from tasks.training.rivals import trained_anew, tuned_on

Arm = Literal["mask", "full_extra", "scratch", "scratch_replay"]
RULES = ["lowest", "last", "best there"]
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


def students_of(
    params: Params, healer: Healer, name: str, keep: Mask, pair: str, arm: Arm
) -> list[Student]:
    """Every way of one arm, not yet trained."""
    steps = params.healing.steps
    if arm == "mask":
        jobs = [HealingJob(option.name, keep, option) for option in healer.options]
        return [healer.student(job, healer.full, keep, steps) for job in jobs]
    if arm == "full_extra":
        return tuned_on(healer, steps)
    start = StartSummary.read(Path("models/start") / name / "start.json")
    trained = TrainingSummary.read(Path("models/full") / pair / "training.json")
    shallow = scratch_model(params, name, start.scale, healer.full.with_blocks(keep))
    steps += trained.steps_run
    rivals = trained_anew(healer, shallow, steps)
    return [one for one in rivals if bool(one.replay) == (arm == "scratch_replay")]


def record(healer: Healer, student: Student) -> list[Checkpoint]:
    """The checkpoints of a student that takes all its steps."""
    with tempfile.TemporaryDirectory() as state:
        loop = Recording(
            [student],
            healer.recipe,
            windows=healer.data.with_replay(student.replay),
            valid=healer.data.valid,
            state_folder=Path(state),
            what=student.name,
            teacher=healer.teacher,
        )
        loop.run()
    return loop.checkpoints


def judged(
    ways: Sequence[Sequence[Checkpoint]],
    full: Errors,
    parts: Sequence[Bool[np.ndarray, " windows"]],
    untrained: Sequence[Checkpoint] = (),
) -> Iterator[dict[str, float]]:
    """For both directions: each rule's choice on the other half, relative to the full model.

    Args:
        ways: the checkpoints of each.
        full: errors of the full model.
        parts: the halves.
        untrained: what every rule may choose as well.
    """
    checkpoints = [*untrained, *(one for way in ways for one in way)]
    last = [*untrained, *(way[-1] for way in ways)]
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


def measure(params: Params, dataset: str, model: str, arm: Arm) -> list[dict[str, object]]:
    """One row per direction; none where the arm has no way."""
    pair = f"{dataset}/{model}"
    search = SearchResult.read(Path("search") / pair / "search.json")
    full = load_in_units(Path("models/full") / pair, search.granularity)
    teacher = full if arm == "full_extra" else load_model(Path("search") / pair / "full_extra")
    healer = make_healer(params, dataset, model, full=full, teacher=teacher)
    students = students_of(params, healer, model, tuple(search.keep), pair, arm)
    if not students:
        return []
    valid = healer.data.valid
    rows = judged(
        [record(healer, student) for student in students],
        errors_of(teacher, valid),
        halves(params, dataset, len(valid)),
        untrained=[Checkpoint(0, errors_of(full, valid))] if arm == "full_extra" else [],
    )
    place: dict[str, object] = {"arm": arm, "dataset": dataset, "model": model}
    names = ("second half", "first half")
    return [place | {"judged on": name} | row for name, row in zip(names, rows, strict=True)]


def main() -> None:
    """Prints the table and its means."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.checkpoints", description="Which checkpoint of a healing lasts."
    )
    parser.add_argument("workspace", type=Path, help="of a finished run")
    parser.add_argument("--datasets", nargs="+", help="only these")
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--arms", nargs="+", choices=get_args(Arm), default=["mask"])
    parser.add_argument("--out", type=Path, help="a .csv file for the rows")
    args = parser.parse_args()
    out = args.out and args.out.resolve()
    os.chdir(args.workspace)
    set_threads(1)
    params = load_params(Path("params.yaml"))
    rows = [
        row
        for arm in args.arms
        for dataset in args.datasets or params.run.datasets
        for model in args.models or params.run.models
        for row in measure(params, dataset, model, arm)
    ]
    table = pd.DataFrame(rows)
    if out is not None:
        write_csv(out, table)
    means = table.groupby(["arm", "dataset"], sort=False)[RULES].mean()
    shown = pd.concat([table, means.reset_index().assign(model="mean")]).fillna("")
    for rule in RULES:
        shown[rule] = [f"{value:+.1%}" for value in shown[rule]]
    print(markdown_of(shown))


if __name__ == "__main__":
    main()
