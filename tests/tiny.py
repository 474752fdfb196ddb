"""Tiny seeded models and data that many tests share."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tasks.data.series import Series, SeriesSet
from tasks.data.windows import training_windows, validation_windows
from tasks.models.backbones import backbone_config
from tasks.models.interface import LossSpec
from tasks.models.native import NativeConfig, NativeModel
from tasks.sections.models import Scale
from tasks.training.fit import TrainingData
from tasks.training.loop import Loop
from tasks.training.recipe import Recipe, Student

CONTEXT, HORIZON = 64, 16


def tiny_model(
    backbone: Literal["gpt2", "qwen3", "llama"] = "gpt2",
    *,
    head: Literal["per_token", "flatten", "next_patch"] = "per_token",
    family: Literal["tsfm", "llm4ts"] = "tsfm",
    blocks: int = 5,
    horizon: int = HORIZON,
    seed: int = 0,
) -> NativeModel:
    """A model of width 16 in eval mode, its weights larger than usual so that blocks matter."""
    scale = Scale(backbone=backbone, blocks=blocks, width=16, heads=2, learning_rate=1e-3)
    config = NativeConfig(
        family=family,
        backbone=backbone,
        backbone_config={},
        head=head,
        context=CONTEXT,
        horizon=horizon,
        patch=16,
        stride=8 if head == "flatten" else 16,
        kept=tuple(range(blocks)),
        origin="random initialisation",
    )
    data = backbone_config(backbone, scale, config.num_tokens)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NativeModel(config.model_copy(update={"backbone_config": data})).eval()


def tiny_series(length: int = 600, channels: int = 3, seed: int = 0) -> SeriesSet:
    """Noisy waves; the last fifth is validation."""
    rng = np.random.default_rng(seed)
    time = np.arange(length)
    waves = [
        np.sin(time / (4 + one)) + 0.1 * rng.standard_normal(length) for one in range(channels)
    ]
    series = tuple(
        Series(f"channel{one}", one * length, length, length * 4 // 5, 0.0, 1.0)
        for one in range(channels)
    )
    return SeriesSet(np.concatenate(waves).astype(np.float32), series)


def tiny_windows(count: int = 8, seed: int = 0) -> torch.Tensor:
    """Windows of context + horizon values with some missing in each part."""
    generator = torch.Generator().manual_seed(seed)
    windows = torch.randn(count, CONTEXT + HORIZON, generator=generator).cumsum(1)
    windows[0, 5:20] = float("nan")
    windows[1, CONTEXT + 2 : CONTEXT + 5] = float("nan")
    return windows


def tiny_data() -> TrainingData:
    """Training and validation windows of `tiny_series`."""
    series = tiny_series()
    valid = validation_windows(series, CONTEXT, HORIZON)
    return TrainingData(training_windows(series, CONTEXT, HORIZON), valid.batch(valid.spaced(32)))


def tiny_recipe(**changes: object) -> Recipe:
    """A recipe for a few quick steps."""
    settings: dict[str, object] = {
        "batch_size": 8,
        "accumulation": 1,
        "warmup_share": 0.1,
        "weight_decay": 0.01,
        "betas": (0.9, 0.95),
        "clip_norm": 1.0,
        "eval_every": 4,
        "patience": 100,
        "checkpoint_every": 3,
        "loss": LossSpec(),
        "precision": "fp32",
        "activation_checkpointing": False,
        "seed": 7,
    }
    return Recipe(**(settings | changes))  # type: ignore[arg-type]


def tiny_loop(
    folder: Path,
    students: list[Student],
    *,
    teacher: NativeModel | None = None,
    **changes: object,
) -> Loop:
    """A loop over the tiny data."""
    data = tiny_data()
    return Loop(
        students,
        tiny_recipe(**changes),
        windows=data.windows,
        valid=data.valid,
        state_folder=folder,
        what="tiny",
        teacher=teacher,
    )
