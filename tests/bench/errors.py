"""Test errors of the full models at nano, trained by the stages of the preset real."""

from pathlib import Path

import torch

from flows import dvc
from flows.environment import stage_environment
from flows.fetch import fetch, has_raw
from flows.workspace import make_workspace
from tasks.data.series import load_series
from tasks.data.windows import test_windows
from tasks.models.registry import load_model
from tasks.params import load_params

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
            dvc.track(root, fetch(root, dataset, params.datasets[dataset]))
        for stage in (f"prepare@{dataset}", f"start@{MODEL}", f"train@{dataset}-{MODEL}"):
            if dvc.changed(root, stage):
                dvc.reproduce(root, stage, environment=stage_environment(1), on_line=print)
        errors[dataset] = test_error(root, dataset, params.windows.context, params.windows.horizon)
    return errors


@torch.inference_mode()
def test_error(root: Path, dataset: str, context: int, horizon: int) -> float:
    """Mean squared error over all test windows at stride 1."""
    model = load_model(root / "models/full" / dataset / MODEL)
    windows = test_windows(load_series(root / "data/test" / dataset), context, horizon, stride=1)
    total, count = 0.0, 0
    for index in torch.arange(len(windows)).split(64):
        batch = windows.batch(index)
        target = batch[:, context:]
        observed = torch.isfinite(target)
        error = model.forecast(batch[:, :context], horizon).mean - target
        total += float(torch.where(observed, error, 0.0).square().sum())
        count += int(observed.sum())
    return total / count
