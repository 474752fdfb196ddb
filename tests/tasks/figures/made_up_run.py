"""A made-up run of two datasets and two models: every artifact the report reads, seeded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts.data import ChannelProfile, Profile
from tasks.artifacts.evaluation import DieboldMariano, Errors, Evaluation, Latency, Measurement
from tasks.artifacts.files import write_csv, write_text
from tasks.artifacts.search import Candidate, SearchResult
from tasks.artifacts.training import (
    ControlSummary,
    HealedOption,
    PruneSummary,
    Timing,
    TrainingSummary,
)
from tasks.metrics.stability import Axis, Stability, setting_of
from tasks.params import Params, validate_params
from tests.tasks.figures.made_up_scores import BLOCKS, HORIZON, made_up_scores

DATASETS, MODELS = ("demo", "weather"), ("tsfm-pico", "tsfm-nano")
KEEP = [0, 1, 5]
RANDOM_KEEPS = ([0, 4, 9], [2, 3, 11], [1, 6, 7], [0, 8, 10], [3, 5, 6])
FULL = {
    ("demo", "tsfm-pico"): 0.4213,
    ("demo", "tsfm-nano"): 0.3871,
    ("weather", "tsfm-pico"): 0.1702,
    ("weather", "tsfm-nano"): 0.1758,
}
# Test error relative to the full model, in the order of the report's panel.
RELATIVE = {
    "full_extra": 1.004, "random_0": 1.031, "random_1": 1.072, "random_2": 1.044,
    "random_3": 1.026, "random_4": 1.09, "first": 1.018, "last": 1.21, "even": 1.038,
    "zero": 1.36, "scratch": 1.012, "seasonal_naive": 1.95, "linear": 1.11,
}  # fmt: skip


def made_up_params(
    *, datasets: Sequence[str] = DATASETS, models: Sequence[str] = MODELS
) -> dict[str, Any]:
    """The content of a params.yaml for the run."""
    scale = {"backbone": "qwen3", "blocks": BLOCKS, "heads": 4, "learning_rate": 1e-3}
    return {
        "run": {"datasets": list(datasets), "models": dict.fromkeys(models, "none")},
        "windows": {"context": 96, "horizon": HORIZON},
        "datasets": {name: {} for name in datasets},
        "scales": {"pico": {**scale, "width": 32}, "nano": {**scale, "width": 64}},
        "models": {
            name: {"family": "tsfm", "scale": name.removeprefix("tsfm-"), "patch": 16}
            for name in models
        },
    }


def write_run(root: Path, **choice: Sequence[str]) -> Params:
    """Writes every artifact of the run below `root` and returns its parameters."""
    params = validate_params(made_up_params(**choice), "params.yaml")
    for dataset in params.run.datasets:
        made_up_profile(dataset).write(root / "data/prepared" / dataset / "profile.json")
        for model in params.run.models:
            write_pair(root, dataset, model)
    return params


def write_pair(root: Path, dataset: str, model: str) -> None:
    """Writes the artifacts of one dataset and model."""
    name = Path(dataset, model)
    chance = np.random.default_rng(sum(map(ord, f"{dataset}/{model}")))
    evaluation = made_up_evaluation(dataset, model)
    evaluation.write(root / f"evaluation/{name}/evaluation.json")
    made_up_measurement(dataset, model).write(root / f"measurements/{name}.json")
    made_up_scores(dataset, model, chance).write(root / f"scores/{name}.json")
    write_search(root / "search" / name, dataset, model, chance)
    made_up_stability(dataset, model).write(root / f"stability/{name}.json")
    write_training(root, name, chance)
    for control in evaluation.controls:
        if control in {"seasonal_naive", "linear"}:
            continue
        made = ControlSummary(
            name=control,
            keep=made_up_keep(control),
            way=evaluation.ways[control],
            training=made_up_training(evaluation.valid_mse[control]),
        )
        made.write(root / "models/controls" / name / control / "control.json")
    write_evaluation(root / "evaluation" / name, evaluation, chance)
    timing = Timing(seconds={"all": 83.0, "training": 71.3, "validation": 8.4})
    timing.write(root / f"timings/train/{name}.json")


def made_up_keep(control: str) -> list[int] | None:
    """The blocks of a control; None where it is no mask."""
    if control.startswith("random"):
        return RANDOM_KEEPS[int(control[-1])]
    known: dict[str, list[int] | None] = {
        "first": [0, 1, 2], "last": [9, 10, 11], "even": [0, 5, 11], "zero": [],
        "full_extra": list(range(BLOCKS)),
    }  # fmt: skip
    return known.get(control)


def made_up_profile(dataset: str) -> Profile:
    """The profile of a dataset with gaps and missing values; `demo` is synthetic."""
    channels = [
        ChannelProfile(
            name=f"channel {index}", rows=8000, missing=40, is_constant=index == 3, mean=0.2,
            std=1.1, adf_p_value=None if index == 3 else 0.01 * index,
        )
        for index in range(8)
    ]  # fmt: skip
    return Profile(
        dataset=dataset, kind="wide", files=[f"{dataset}.csv"], rows=8000, channels=channels,
        num_series=8, num_points=64_000, freq="h", first="2020-01-01 00:00",
        last="2020-11-29 07:00", missing_share=0.005, gaps=12, duplicates_dropped=3,
        fixed=["12 missing time stamps were put in as missing rows"],
        warnings=["channel 3 is constant in the training range"], dropped_series=[], season=24,
        train_rows=5600, valid_rows=800, test_rows=1600, synthetic=dataset == "demo",
    )  # fmt: skip


def made_up_training(valid_mse: float, *, best_step: int = 450) -> TrainingSummary:
    """A training of 500 steps."""
    return TrainingSummary(
        steps=500, steps_run=500, best_step=best_step, valid_mse=valid_mse, stopped_early=False,
        still_improving=best_step > 450, late_change=-0.0001 * (best_step - 420),
        learning_rate=1e-3, precision="fp32", trainable_parameters=612_000,
    )  # fmt: skip


def made_up_evaluation(dataset: str, model: str) -> Evaluation:
    """On weather selection adds nothing and the nano model is only just non-inferior."""
    full = FULL.get((dataset, model), 0.3)
    is_close = dataset == "weather"
    difference = 0.011 if is_close else -0.006
    errors = {name: full * relative for name, relative in RELATIVE.items()}
    errors |= {"full_untuned": full, "pruned": full * (1 + difference)}
    made = {
        name: Errors(mse=mse, mae=mse**0.5 * 0.61, mase=mse * 2.1) for name, mse in errors.items()
    }
    valid = {name: mse * 0.92 for name, mse in errors.items()}
    return Evaluation(
        dataset=dataset, model=model, family="tsfm", backbone_label="qwen3, random initialisation",
        num_windows=1577, missing_points=311 if dataset == "demo" else 0, layers_full=BLOCKS,
        layers_kept=len(KEEP), keep=KEEP, full=made["full_untuned"], full_is="full",
        full_untuned=made.pop("full_untuned"), zero_shot=None, pruned=made.pop("pruned"),
        ways=dict.fromkeys(("pruned", *made), "plain"),
        controls=made, verdict="non-inferior" if is_close else "superior", margin=0.02,
        p_value=0.034 if is_close else 0.001, p_superior=0.4 if is_close else 0.012,
        p_inferior=0.97,
        difference=difference, interval=(difference - 0.008, difference + 0.007),
        block_length=120,
        diebold_mariano=DieboldMariano(
            statistic=1.1 if is_close else -2.3, p_value=0.28 if is_close else 0.02,
            p_superior=0.86 if is_close else 0.01, p_noninferior=0.03 if is_close else 0.001,
            p_inferior=0.97,
            verdict="non-inferior" if is_close else "superior",
        ),
        selection_adds=not is_close, valid_mse={**valid, "full": full * 0.92},
        recommendation="take the pruned model",
        reason="it is as good as the full model on the test range at a quarter of the blocks",
    )  # fmt: skip


def made_up_measurement(dataset: str, model: str) -> Measurement:
    """The pruned model is 3.2 times as fast at batch 64 on one thread."""
    full, pruned = {}, {}
    for threads in (1, 2):
        for batch in (1, 8, 64):
            p50 = 0.9 * batch**0.8 / threads**0.5
            key = f"threads={threads},batch={batch}"
            full[key] = Latency(p50_ms=p50 * 3.2, p95_ms=p50 * 3.9)
            pruned[key] = Latency(p50_ms=p50, p95_ms=p50 * 1.3)
    width = {"pico": 1, "nano": 4}[model.removeprefix("tsfm-")]
    return Measurement(
        dataset=dataset, model=model, machine="x86_64, 2 cores, 4 GB", threads=[1, 2], full=full,
        pruned=pruned, speedup_p50={key: 3.2 for key in full}, peak_bytes_full=412_000_000,
        peak_bytes_pruned=371_000_000,
        parameters_full=counts(170_000 * width, 150_000 * width, 160_000 * width),
        parameters_pruned=counts(57_500 * width, 37_500 * width, 47_500 * width),
    )  # fmt: skip


def counts(everything: int, blocks: int, used: int) -> dict[str, int]:
    """Parameters counted three ways."""
    return {"all": everything, "blocks": blocks, "used": used}


def write_search(folder: Path, dataset: str, model: str, chance: np.random.Generator) -> None:
    """Writes search.json, trials.csv and front.csv."""
    full = FULL.get((dataset, model), 0.3) * 0.92
    rows, masks = [], [KEEP]
    for size in (2, 3, 4):
        masks += [sorted(chance.choice(BLOCKS, size, replace=False).tolist()) for _ in range(40)]
    for number, keep in enumerate(masks):
        error = full * (1.02 + 0.6 / len(keep) * float(chance.random()) + 0.3 * (0 not in keep))
        shown = " ".join(map(str, keep))
        source = "few_layer" if number % 40 == 1 else "exhaustive"
        windows = 512 if error < 1.3 * full else 64
        rows.append((number, shown, len(keep), source, error, len(keep) / BLOCKS, windows))
    columns = ["number", "keep", "num_kept", "source", "valid_mse", "cost", "windows"]
    trials = pd.DataFrame(rows, columns=columns)
    front = trials.sort_values("valid_mse").groupby("num_kept", sort=True).head(1)
    write_csv(folder / "trials.csv", trials)
    write_csv(
        folder / "front.csv", front.sort_values("cost")[["num_kept", "cost", "valid_mse", "keep"]]
    )
    best = trials.sort_values("valid_mse").groupby("num_kept").head(3)
    candidates = [
        Candidate(
            keep=[int(block) for block in row.keep.split()], source="few_layer",
            valid_mse_before=row.valid_mse, cost=row.cost,
            valid_mse_healed=[full * (1.0 + 0.06 * float(chance.random()))] * (1 + (number < 5)),
        )
        for number, row in enumerate(best.itertuples())
    ]  # fmt: skip
    result = SearchResult(
        dataset=dataset, model=model, num_blocks=BLOCKS, sizes=[2, 3, 4], exhaustive=False,
        num_masks=118, num_trials=len(trials), full_valid_mse=full,
        full_unhealed_mse=full, margin=0.02, candidates=candidates, rungs=[60, 150],
        rank_correlations=[0.31, 0.6],
        rank_correlation_by_size={"2": 0.33, "3": None, "4": -0.33}, keep=KEEP, within_margin=True,
        reason="the smallest mask within 2 % of the full model's validation error",
    )  # fmt: skip
    result.write(folder / "search.json")


def made_up_stability(dataset: str, model: str) -> Stability:
    """Settings that agree on demo; on weather only block 0 is in all of them."""
    chance = np.random.default_rng(len(f"{dataset}/{model}"))
    labels: list[tuple[Axis, str]] = [
        ("calibration", "draw 1"), ("calibration", "draw 2"), ("calibration", "draw 3"),
        ("period", "first half"), ("period", "second half"), ("horizon", "horizon 12"),
    ]  # fmt: skip
    varied = [[0, 1, 5], [0, 2, 9], [0, 4, 7], [0, 3, 11], [0, 6, 8], [0, 5, 10]]
    settings = []
    for (axis, label), mask in zip(labels, varied, strict=True):
        made = made_up_scores(dataset, model, chance).scores
        values = {name: made[name].values for name in ("few_layer", "removal_loss")}
        settings.append(setting_of(axis, label, KEEP if dataset == "demo" else mask, values))
    return Stability(
        dataset=dataset, model=model, num_blocks=BLOCKS, keep=KEEP, windows=128, settings=settings,
    )  # fmt: skip


def write_training(root: Path, name: Path, chance: np.random.Generator) -> None:
    """Writes the histories and summaries of training and healing."""
    full = FULL.get((name.parts[0], name.parts[1]), 0.3) * 0.92
    steps = np.arange(10, 501, 10)
    loss = full * (1 + np.exp(-steps / 90)) + 0.02 * chance.random(len(steps))
    valid = np.where(steps % 50 == 0, full * (1 + 0.8 * np.exp(-steps / 80)), np.nan)
    columns = {"step": steps, "learning_rate": 1e-3, "train_loss": loss, "valid_mse": valid}
    history = pd.DataFrame({**columns, "seconds": steps * 0.1})
    write_csv(root / f"plots/train/{name}.csv", history)
    healing = [
        history.assign(option=option, valid_mse=valid * factor)
        for option, factor in (("plain", 1.02), ("distilled", 1.0))
    ]
    write_csv(root / f"plots/heal/{name}.csv", pd.concat(healing))
    summary = made_up_training(full, best_step=500 if "pico" in name.name else 450)
    summary.write(root / f"models/full/{name}/training.json")
    prune = PruneSummary(
        keep=KEEP, valid_mse_unhealed=full * 1.21, chosen="distilled",
        options=[
            HealedOption(name="plain", training=made_up_training(full * 1.02)),
            HealedOption(name="distilled", training=made_up_training(full * 1.005)),
        ],
    )  # fmt: skip
    prune.write(root / f"models/pruned/{name}/prune.json")


def write_evaluation(folder: Path, evaluation: Evaluation, chance: np.random.Generator) -> None:
    """Writes per_step.csv and forecasts.json."""
    steps = np.arange(1, HORIZON + 1)
    shape = (steps / HORIZON) ** 0.4 / np.mean((steps / HORIZON) ** 0.4)
    errors = {"full": evaluation.full.mse, "pruned": evaluation.pruned.mse}
    errors |= {name: made.mse for name, made in evaluation.controls.items()}
    table = pd.DataFrame({"step": steps} | {name: mse * shape for name, mse in errors.items()})
    write_csv(folder / "per_step.csv", table)
    time = np.arange(3 * HORIZON)
    samples = []
    for number in range(3):
        wave = np.sin(2 * np.pi * (time + 5 * number) / 24) + 0.2 * chance.standard_normal(
            len(time)
        )
        values: list[float | None] = [round(float(value), 4) for value in wave]
        values[7] = None
        ahead = np.sin(2 * np.pi * (time[2 * HORIZON :] + 5 * number) / 24)
        samples.append(
            {
                "series": f"channel {number}", "start": 160 * number,
                "context": values[: 2 * HORIZON], "actual": values[2 * HORIZON :],
                "full": (0.9 * ahead).tolist(), "pruned": (0.88 * ahead + 0.03).tolist(),
            }
        )  # fmt: skip
    write_text(folder / "forecasts.json", json.dumps(samples))
