"""Tables of one run over several scales: error, layer profile, pruning and latency by model.

The errors of a joined dataset are taken apart into its members, from the errors of every window.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.artifacts.evaluation import Evaluation, Measurement
from tasks.artifacts.scoring import Scores
from tasks.artifacts.training import ControlSummary, PruneSummary, TrainingSummary
from tasks.data.series import load_series
from tasks.metrics.paired import (
    Comparison,
    block_length_for,
    compare,
    errors_by_offset,
    holm,
    verdict_by,
)
from tasks.params import Params
from tasks.runtime import seed_for

MEAN = "mean"  # in the column `dataset`: over the datasets, each counting the same
HEALED = ("train", "score", "prune", "controls")  # the stages whose files are read, as they end
EVALUATED = (*HEALED, "evaluate")
FINISHED = (*EVALUATED, "measure")
ONE_THREAD = "threads=1,batch="


@dataclass(frozen=True)
class ScaleStudy:
    """What a run over several scales found; models in the order of params.yaml.

    Attributes:
        validation: one row per model and dataset of the run: the validation errors by which all
            was chosen. A model is in it, and in `profile`, as soon as its masks are healed.
        profile: one row per model and block, one column per score.
        errors: one row per evaluated model and dataset, and one with the mean over the datasets.
        latency: one row per finished model and batch size.
        machine: on which latency was measured; empty where it was not.
    """

    validation: pd.DataFrame
    profile: pd.DataFrame
    errors: pd.DataFrame
    latency: pd.DataFrame
    machine: str

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name, empty ones as well."""
        return {
            "validation": self.validation,
            "profile": self.profile,
            "errors": self.errors,
            "latency": self.latency,
        }


def models_with(stages: Sequence[str], params: Params, done: Collection[str]) -> list[str]:
    """The models of which these stages are done on every dataset.

    Args:
        stages: HEALED, EVALUATED or FINISHED.
        params: `run` is read.
        done: names of stages, as DVC gives them.
    """

    def needed(model: str) -> set[str]:
        return {f"{stage}@{dataset}-{model}" for stage in stages for dataset in params.run.datasets}

    return [model for model in params.run.models if needed(model) <= set(done)]


def read_study(root: Path, params: Params, done: Collection[str]) -> ScaleStudy:
    """Reads what a run below `root` has found so far.

    Args:
        root: of the run.
        params: its values.
        done: names of the stages that are done; of one model at least those of HEALED.

    Raises:
        ArtifactError: a file is missing or torn.
    """
    validation: list[dict[str, object]] = []
    profile: list[pd.DataFrame] = []
    for model in models_with(HEALED, params, done):
        for dataset in params.run.datasets:
            scores = Scores.read(root / "scores" / dataset / f"{model}.json")
            profile.append(profile_rows(scores))
            validation.append(_validation_row(root, scores))
    errors: list[pd.DataFrame] = [pd.DataFrame()]
    for model in models_with(EVALUATED, params, done):
        parts = [
            part for dataset in params.run.datasets for part in _parts(root, params, dataset, model)
        ]
        errors.append(with_mean(corrected(parts, params.evaluation.alpha)))
    measured = [
        Measurement.read(root / "measurements" / dataset / f"{model}.json")
        for model in models_with(FINISHED, params, done)
        for dataset in params.run.datasets
    ]
    return ScaleStudy(
        validation=pd.DataFrame(validation),
        profile=pd.concat(profile),
        errors=pd.concat(errors),
        latency=pd.concat([pd.DataFrame(), *map(latency_rows, measured)]),
        machine=measured[-1].machine if measured else "",
    )


def _validation_row(root: Path, scores: Scores) -> dict[str, object]:
    pair = f"{scores.dataset}/{scores.model}"
    trained = TrainingSummary.read(root / "models/full" / pair / "training.json")
    pruned = PruneSummary.read(root / "models/pruned" / pair / "prune.json")
    controls = [
        ControlSummary.read(path)
        for path in sorted((root / "models/controls" / pair).glob("*/control.json"))
    ]
    healed = {option.name: option.training.valid_mse for option in pruned.options}
    found = {one.name: one.training.valid_mse for one in controls}
    errors = {"full": found.pop("full_extra"), "pruned": healed[pruned.chosen]} | found
    return {
        "dataset": scores.dataset,
        "model": scores.model,
        "parameters": trained.trainable_parameters,
        "blocks": scores.num_blocks,
        "kept": len(pruned.keep),
        "keep": " ".join(map(str, pruned.keep)),
        "rate": trained.learning_rate,
        "steps": trained.steps_run,
        "precision": trained.precision,
        **with_random(errors),
        "difference": errors["pruned"] / errors["full"] - 1,
    }


def _parts(root: Path, params: Params, dataset: str, model: str) -> list[dict[str, object]]:
    name = f"{dataset}/{model}"
    evaluation = Evaluation.read(root / "evaluation" / name / "evaluation.json")
    trained = TrainingSummary.read(root / "models/full" / name / "training.json")
    windows = pd.read_parquet(root / "evaluation" / name / "windows.parquet")
    history = load_series(root / "data/prepared" / dataset / "history")
    is_joined = params.datasets[dataset].kind == "joined"
    places = [one.name.partition("/")[0] if is_joined else dataset for one in history.series]
    facts = {
        "model": model,
        "parameters": trained.trainable_parameters,
        "blocks": evaluation.layers_full,
        "kept": evaluation.layers_kept,
        "keep": " ".join(map(str, evaluation.keep)),
        "rate": trained.learning_rate,
        "steps": trained.steps_run,
        "precision": trained.precision,
    }
    return [
        {"dataset": part, **facts}
        | part_errors(group)
        | _against_full(group, params, f"{name}/{part}")
        for part, group in windows.groupby(
            windows["series"].map(dict(enumerate(places))), sort=False
        )
    ]


def part_errors(windows: pd.DataFrame) -> dict[str, float]:
    """The mean squared error of every forecaster over the observed points of these windows.

    Args:
        windows: `series`, `offset`, `points`, and one column of errors per forecaster.
    """
    names = [name for name in windows.columns if name not in {"series", "offset", "points"}]
    points = windows["points"].to_numpy()
    errors = {
        name: float(np.where(points > 0, windows[name], 0.0) @ points / max(1, points.sum()))
        for name in names
    }
    return with_random(errors)


def with_random(errors: Mapping[str, float]) -> dict[str, float]:
    """Errors by name, those of the random masks replaced by their mean and range."""
    drawn = [error for name, error in errors.items() if name.startswith("random_")]
    others = {name: error for name, error in errors.items() if not name.startswith("random_")}
    return others | {
        "random": float(np.mean(drawn)),
        "random_best": min(drawn),
        "random_worst": max(drawn),
    }


def _against_full(windows: pd.DataFrame, params: Params, name: str) -> dict[str, object]:
    found = compare_windows(windows, params, name)
    return {
        "difference": found.difference,
        "low": found.interval[0],
        "high": found.interval[1],
        "p_noninferior": found.p_noninferior,
        "p_superior": found.p_superior,
        "p_inferior": found.p_inferior,
        "margin": params.evaluation.margin,
    }


def compare_windows(windows: pd.DataFrame, params: Params, name: str) -> Comparison:
    """The pruned against the full model on some windows, as `evaluate` compares them on all."""
    settings = params.evaluation
    points, offsets = windows["points"].to_numpy(), windows["offset"].to_numpy()
    full, pruned = (
        errors_by_offset(windows[which].to_numpy(), points, offsets) for which in ("full", "pruned")
    )
    return compare(
        full,
        pruned,
        block_length=block_length_for(
            len(full),
            context=params.windows.context,
            horizon=params.windows.horizon,
            stride=settings.stride,
        ),
        margin=settings.margin,
        alpha=settings.alpha,
        samples=settings.bootstrap_samples,
        generator=np.random.default_rng(seed_for(params.seed, "scale", name)),
    )


def corrected(parts: Sequence[Mapping[str, object]], alpha: float) -> pd.DataFrame:
    """One model's rows with a verdict each, by p-values that Holm corrects over the datasets."""
    frame = pd.DataFrame(parts)
    tests = ["p_noninferior", "p_superior", "p_inferior"]
    adjusted = [holm(list(frame[name])) for name in tests]
    frame["verdict"] = [
        verdict_by(*p_values, alpha=alpha) for p_values in zip(*adjusted, strict=True)
    ]
    return frame.drop(columns=[*tests, "margin"])


def with_mean(rows: pd.DataFrame) -> pd.DataFrame:
    """One model's rows and a last one with the means of all errors over the datasets."""
    facts = rows.columns[: list(rows.columns).index("precision") + 1]
    mean = rows.drop(columns=[*facts, "low", "high", "verdict"]).mean()
    mean["difference"] = mean["pruned"] / mean["full"] - 1
    last = rows.iloc[0][facts].to_dict() | mean.to_dict() | {"dataset": MEAN}
    return pd.concat([rows, pd.DataFrame([last])], ignore_index=True)


def profile_rows(scores: Scores) -> pd.DataFrame:
    """One row per block, from 1, with its scores."""
    columns = {name: score.values for name, score in scores.scores.items()}
    blocks = {"model": scores.model, "block": np.arange(1, scores.num_blocks + 1)}
    return pd.DataFrame(blocks | columns)


def latency_rows(measured: Measurement) -> pd.DataFrame:
    """One row per batch size, at one CPU thread: median milliseconds of full and pruned."""
    rows = [
        {
            "model": measured.model,
            "batch": int(key.removeprefix(ONE_THREAD)),
            "full_ms": full.p50_ms,
            "pruned_ms": measured.pruned[key].p50_ms,
            "speedup": measured.speedup_p50[key],
            "parameters_full": measured.parameters_full["used"],
            "parameters_pruned": measured.parameters_pruned["used"],
            "peak_bytes_full": measured.peak_bytes_full,
            "peak_bytes_pruned": measured.peak_bytes_pruned,
        }
        for key, full in measured.full.items()
        if key.startswith(ONE_THREAD)
    ]
    return pd.DataFrame(rows)
