"""Stage evaluate: every error on the test range and the verdict; nothing else reads that range.

`full` is the better of `full_untuned` (the full model as `train` left it) and `full_extra` (the
same with the extra tuning that the pruned model had, a teacher in it too), by validation error.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Evaluation
from tasks.artifacts.files import write_atomically, write_csv, write_text
from tasks.artifacts.training import PruneSummary
from tasks.data.series import SeriesSet, load_series
from tasks.data.windows import WindowSet, test_windows, training_windows, validation_windows
from tasks.metrics.advice import does_selection_add, recommend
from tasks.metrics.baselines import fit_linear, seasonal_naive
from tasks.metrics.errors import missing_targets, seasonal_scales
from tasks.metrics.judge import Compared, compare_with_all, headline, sample_forecasts, step_table
from tasks.metrics.judged import (
    NOT_CONTROLS,
    Facts,
    load_judged,
    model_folders,
    valid_errors,
    ways_of,
)
from tasks.metrics.panel import Forecaster, Panel, middles, window_table
from tasks.models.base import ForecastModel
from tasks.params import Params
from tasks.runtime import Progress, load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.sections.models import PretrainedStart
from tasks.training.fit import write_timing

LINEAR_WINDOWS = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One dataset and model with the data they are judged on."""

    params: Params
    dataset: str
    model: str
    history: SeriesSet
    test: SeriesSet
    windows: WindowSet  # of the test range
    season: int

    @property
    def name(self) -> str:
        """DATASET/MODEL, the end of every artifact's path."""
        return f"{self.dataset}/{self.model}"


def open_job(params: Params, dataset: str, model: str) -> Job:
    """Reads the history and the test range of the dataset."""
    folder = Path("data/prepared", dataset)
    history, test = load_series(folder / "history"), load_series(Path("data/test") / dataset)
    window, stride = params.windows, params.evaluation.stride
    return Job(
        params=params,
        dataset=dataset,
        model=model,
        history=history,
        test=test,
        windows=test_windows(test, window.context, window.horizon, stride=stride),
        season=Profile.read(folder / "profile.json").season,
    )


def scales_of_test(job: Job) -> Float64[np.ndarray, " series"]:
    """The MASE scale of every test series, from its history; series without one are logged."""
    scales = dict(
        zip(
            (one.name for one in job.history.series),
            seasonal_scales(job.history, job.season),
            strict=True,
        )
    )
    names = [one.name for one in job.test.series]
    without = [name for name in names if np.isnan(scales.get(name, np.nan))]
    if without:
        log.warning(
            "evaluate %s: %d of %d series have no seasonal difference in their training range and "
            "are left out of MASE: %s",
            *(job.name, len(without), len(names), ", ".join(without[:8])),
        )
    return np.array([scales.get(name, np.nan) for name in names])


def model_forecaster(model: ForecastModel, horizon: int, device: torch.device) -> Forecaster:
    """The model as a function from contexts to forecasts, both on the CPU."""

    def forecast(context: Float[Tensor, "batch context"]) -> Float[Tensor, "batch horizon"]:
        return model.forecast(context.to(device), horizon).mean.float().cpu()

    return forecast


def run_panel(
    job: Job, folders: Mapping[str, Path], prune: PruneSummary
) -> tuple[Panel, dict[str, Facts]]:
    """Runs every model and the two baselines on the test windows."""
    horizon = job.windows.horizon
    training = job.params.training_of(job.model, scale_rate=1.0)  # nothing is trained here
    device = pick_device(job.params.runtime.device)
    valid = validation_windows(job.history, job.windows.context, horizon)
    total = (len(folders) + 2) * len(job.windows)
    facts: dict[str, Facts] = {}
    with Progress(f"evaluate {job.name}", total) as progress:
        panel = Panel(
            test=job.windows,
            valid=valid,
            valid_index=valid.spaced(training.valid_windows),
            samples=middles(job.windows, job.params.evaluation.sample_forecasts),
            scales=scales_of_test(job),
            batch_size=job.params.evaluation.batch_size,
            valid_mse=valid_errors(folders, prune),
            advance=lambda name, done: progress.update(
                len(panel.outcomes) * len(job.windows) + done, name
            ),
        )
        for name, folder in folders.items():
            model = load_judged(name, folder, prune, device)
            facts[name] = Facts.of(model)
            panel.run(name, model_forecaster(model, horizon, device))
        naive = partial(seasonal_naive, season=job.season, horizon=horizon)
        panel.run("seasonal_naive", naive)
        train = training_windows(
            job.history, job.windows.context, horizon, share=training.train_share
        )
        places = valid.spaced(LINEAR_WINDOWS)
        panel.run("linear", fit_linear(train, train.spaced(LINEAR_WINDOWS), valid, places))
    return panel, facts


def evaluate(params: Params, dataset: str, model: str) -> None:
    """Judges one dataset and model and writes its metrics and evaluation artifacts."""
    job = open_job(params, dataset, model)
    prune = PruneSummary.read(Path("models/pruned", job.name, "prune.json"))
    is_pretrained = isinstance(params.models[model].start, PretrainedStart)
    folders = model_folders(job.name, Path("models/start", model) if is_pretrained else None)
    started = time.perf_counter()
    panel, facts = run_panel(job, folders, prune)
    full_is = panel.name_full()
    table = window_table(job.windows, batch_size=params.evaluation.batch_size)
    comparisons = compare_with_all(
        panel.outcomes,
        table,
        shape=job.windows,
        settings=params.evaluation,
        generator_for=lambda name: np.random.default_rng(
            seed_for(params.seed, "evaluate", job.name, name)
        ),
    )
    verdict, diebold = comparisons["full"]
    errors = {name: outcome.errors for name, outcome in panel.outcomes.items()}
    random = [one.mse for name, one in errors.items() if name.startswith("random_")]
    advice, reason = recommend(verdict.verdict, panel.valid_mse, margin=params.evaluation.margin)
    write_tables(job, panel, table)
    write_tests(job, comparisons)
    write_timing("evaluate", job.name, started)
    evaluation = Evaluation(
        dataset=dataset,
        model=model,
        family=facts["full_untuned"].family,
        backbone_label=facts["full_untuned"].label,
        num_windows=len(job.windows),
        missing_points=missing_targets(job.test),
        granularity=prune.granularity,
        layers_full=facts["full_extra"].num_blocks,
        layers_kept=facts["pruned"].num_blocks,
        keep=prune.keep,
        full=errors["full"],
        full_is=full_is,
        full_untuned=errors["full_untuned"],
        ways=ways_of(folders, prune),
        stacks=facts["full_untuned"].stacks,
        zero_shot=errors.get("zero_shot"),
        zero_shot_pruned=errors.get("zero_shot_pruned"),
        pruned=errors["pruned"],
        controls={name: one for name, one in errors.items() if name not in NOT_CONTROLS},
        verdict=verdict.verdict,
        margin=params.evaluation.margin,
        p_value=verdict.p_noninferior,
        p_superior=verdict.p_superior,
        p_inferior=verdict.p_inferior,
        difference=verdict.difference,
        interval=verdict.interval,
        block_length=verdict.block_length,
        diebold_mariano=diebold,
        selection_adds=does_selection_add(errors["pruned"].mse, random),
        valid_mse=panel.valid_mse,
        recommendation=advice,
        reason=reason,
    )
    evaluation.write(Path("evaluation", job.name, "evaluation.json"))
    shown = json.dumps(headline(evaluation), indent=1)
    write_text(Path("metrics", f"{job.name}.json"), shown + "\n")
    log.info(
        "evaluate %s: full %.4f, pruned %.4f (%d of %d %ss): %s, p %.3g; %s",
        *(job.name, errors["full"].mse, errors["pruned"].mse, evaluation.layers_kept),
        *(evaluation.layers_full, evaluation.granularity),
        *(verdict.verdict, verdict.p_noninferior, advice),
    )


def write_tables(job: Job, panel: Panel, table: pd.DataFrame) -> None:
    """Writes windows.parquet, per_step.csv and forecasts.json."""
    folder = Path("evaluation", job.name)
    columns = {name: outcome.windows for name, outcome in panel.outcomes.items()}
    frame = pd.concat([table, pd.DataFrame(columns)], axis=1)
    write_atomically(
        folder / "windows.parquet",
        lambda path: frame.to_parquet(path, compression="zstd", index=False),
    )
    write_csv(folder / "per_step.csv", step_table(panel.outcomes, job.windows.horizon))
    samples = sample_forecasts(panel.outcomes, job.test, job.windows, panel.samples)
    write_text(folder / "forecasts.json", json.dumps(samples, indent=1, allow_nan=False) + "\n")


def write_tests(job: Job, comparisons: Mapping[str, Compared]) -> None:
    """Writes tests.json: the pruned model against every other forecaster, by both tests.

    The p-values there are not corrected for their number: they describe, only `full` decides.
    """
    rows = {
        name: asdict(comparison) | {"diebold_mariano": diebold.model_dump()}
        for name, (comparison, diebold) in comparisons.items()
    }
    text = json.dumps(rows, indent=1, allow_nan=False)
    write_text(Path("evaluation", job.name, "tests.json"), text + "\n")


def main(argv: list[str]) -> None:
    """Entry point of the stage."""
    description = "Writes every error on the test range, the verdict and the recommendation."
    parser = stage_parser("tasks.evaluate", description, selects=("dataset", "model"))
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    evaluate(params, args.dataset, args.model)


if __name__ == "__main__":
    run_stage(main)
