"""Test errors of the full models at nano, trained by the stages of the preset real."""

from pathlib import Path

import torch

from flows import dvc
from flows.environment import stage_environment
from flows.workspace import make_workspace
from tasks.data.fetch import fetch, has_raw
from tasks.data.series import load_series
from tasks.data.windows import test_windows
from tasks.models.registry import load_model
from tasks.params import load_params
from tasks.training.loop import validation_mse

PRESET = "real"
DATASETS = ("etth1", "ettm1", "weather")
MODEL = "tsfm-nano"


def full_errors(project: Path) -> dict[str, float]:
    """Test MSE by dataset; the stages run only where they are stale (minutes each)."""
    root = make_workspace(project, PRESET)
    params = load_params(root / "params.yaml")
    errors: dict[str, float] = {}
    for dataset in DATASETS:
        if not has_raw(root, dataset):
            dvc.track(root, fetch(root, dataset, params.datasets))
        for stage in (f"prepare@{dataset}", f"start@{MODEL}", f"train@{dataset}-{MODEL}"):
            if dvc.changed(root, stage):
                dvc.reproduce(root, stage, environment=stage_environment(1), on_line=print)
        errors[dataset] = test_error(root, dataset, params.windows.context, params.windows.horizon)
    return errors


def test_error(root: Path, dataset: str, context: int, horizon: int) -> float:
    """Mean squared error over all test windows at stride 1."""
    model = load_model(root / "models/full" / dataset / MODEL)
    windows = test_windows(load_series(root / "data/test" / dataset), context, horizon, stride=1)
    return validation_mse(model, windows.batch(torch.arange(len(windows))))
