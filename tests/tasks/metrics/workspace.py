"""A workspace with everything `evaluate` and `measure` read, made in seconds, of tiny models."""

from pathlib import Path

import numpy as np
import torch

from tasks.artifacts.data import Profile
from tasks.artifacts.training import ControlSummary, HealedOption, PruneSummary, TrainingSummary
from tasks.data.series import Series, SeriesSet
from tasks.models.backbones import backbone_config
from tasks.models.native import NativeConfig, NativeModel
from tasks.sections.models import Scale

CONTEXT, HORIZON, SEASON = 32, 8, 12
ROWS, TRAIN, VALID = 900, 600, 120

PARAMS = f"""
run: {{datasets: [toy], models: {{small: none}}}}
windows: {{context: {CONTEXT}, horizon: {HORIZON}}}
datasets: {{toy: {{}}}}
scales: {{two: {{backbone: qwen3, blocks: 3, width: 16, heads: 2, learning_rate: 1e-3}}}}
models:
  small: {{family: tsfm, scale: two, patch: 8}}
  base: {{family: tsfm, scale: two, patch: 8}}
training: {{valid_windows: 64}}
evaluation: {{bootstrap_samples: 200, batch_size: 64, sample_forecasts: 2}}
measure: {{batch_sizes: [1, 4], repeats: 3, warmup: 1}}
"""
PRETRAINED = (
    PARAMS.replace("run: {", "run: {mixes: [m], pretrain: {base: m}, ")
    .replace("small: none", "small: base")
    .replace(
        "small: {family: tsfm,", "small: {start: {kind: pretrained, model: base}, family: tsfm,"
    )
    + "mixes: {m: {members: [toy]}}\n"
)

VALID_MSE = {"full": 0.5, "full_extra": 0.49, "scratch": 0.6}


def summary(valid_mse: float) -> TrainingSummary:
    return TrainingSummary(
        steps=10,
        steps_run=10,
        best_step=10,
        valid_mse=valid_mse,
        stopped_early=False,
        still_improving=False,
        learning_rate=1e-3,
        precision="fp32",
        trainable_parameters=10,
    )


def tiny_model(seed: int = 0) -> NativeModel:
    scale = Scale(backbone="qwen3", blocks=3, width=16, heads=2, learning_rate=1e-3)
    torch.manual_seed(seed)
    return NativeModel(
        NativeConfig(
            family="tsfm",
            backbone="qwen3",
            backbone_config=backbone_config("qwen3", scale, CONTEXT // 8),
            head="per_token",
            context=CONTEXT,
            horizon=HORIZON,
            patch=8,
            stride=8,
            kept=(0, 1, 2),
            origin="random initialisation",
        )
    ).eval()


def toy_series(num_series: int = 2) -> tuple[SeriesSet, SeriesSet]:
    """History and test range of seasonal series; the last series is constant."""
    generator = np.random.default_rng(0)
    time = np.arange(ROWS)
    history, test, histories, tests = [], [], [], []
    for index in range(num_series):
        values = np.sin(2 * np.pi * time / SEASON + index) + 0.2 * generator.standard_normal(ROWS)
        if index == num_series - 1:
            values = np.zeros(ROWS)
        values[:: 50 + index] = np.nan
        length, reach = TRAIN + VALID, ROWS - TRAIN - VALID + CONTEXT
        histories.append(Series(f"s{index}", index * length, length, TRAIN, 0.0, 1.0))
        tests.append(Series(f"s{index}", index * reach, reach, CONTEXT, 0.0, 1.0))
        history.append(values[:length])
        test.append(values[length - CONTEXT :])
    return (
        SeriesSet(np.concatenate(history).astype(np.float32), tuple(histories)),
        SeriesSet(np.concatenate(test).astype(np.float32), tuple(tests)),
    )


def write_data(root: Path) -> None:
    folder = root / "data/prepared/toy"
    history, test = toy_series()
    history.save(folder / "history")
    test.save(root / "data/test/toy")
    Profile(
        dataset="toy",
        kind="wide",
        files=[],
        rows=ROWS,
        channels=[],
        num_series=2,
        num_points=2 * ROWS,
        freq="h",
        first=None,
        last=None,
        missing_share=0.0,
        gaps=0,
        duplicates_dropped=0,
        fixed=[],
        warnings=[],
        dropped_series=[],
        season=SEASON,
        train_rows=TRAIN,
        valid_rows=VALID,
        test_rows=ROWS - TRAIN - VALID,
    ).write(folder / "profile.json")


def write_workspace(root: Path, *, params: str = PARAMS) -> None:
    """Everything but the outputs; the working folder must then be `root`."""
    (root / "params.yaml").write_text(params, encoding="utf-8")
    write_data(root)
    full = tiny_model()
    full.save(root / "models/full/toy/small")
    summary(VALID_MSE["full"]).write(root / "models/full/toy/small/training.json")
    full.save(root / "models/start/small")
    pruned = full.with_blocks([0])
    pruned.save(root / "models/pruned/toy/small")
    PruneSummary(
        keep=[0],
        valid_mse_unhealed=0.9,
        options=[
            HealedOption(name="plain", training=summary(0.7)),
            HealedOption(name="distilled", training=summary(0.55)),
        ],
        chosen="distilled",
    ).write(root / "models/pruned/toy/small/prune.json")
    controls = {"random_0": [1], "random_1": [2], "zero": [], "scratch": None}
    for name, keep in (controls | {"full_extra": [0, 1, 2]}).items():
        folder = root / "models/controls/toy/small" / name
        (tiny_model(1).with_blocks([0]) if keep is None else full.with_blocks(keep)).save(folder)
        error = VALID_MSE.get(name, 0.65)
        ControlSummary(name=name, keep=keep, way="plain", training=summary(error)).write(
            folder / "control.json"
        )
