"""Every stage that computes, with the model on a device that is not the CPU's."""

import importlib
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from tasks.artifacts.evaluation import Evaluation
from tasks.params import load_params, load_preset, merge, yaml_text
from tasks.pipeline.graph import Stage, read_graph
from tests import ROOT
from tests.emulated import emulated_device

COMPUTING = ("train", "score", "search", "stability", "prune", "controls", "evaluate")
BEFORE = ("code", "generate", "prepare", "start")
OVERRIDE = {
    "generator": {"rows": 800, "channels": 1},
    "scales": {"pico": {"blocks": 3}},
    "training": {"steps": 4, "eval_every": 2, "batch_size": 8, "valid_windows": 16},
    "scoring": {
        "sensitivity": {"windows": [], "draws": []},
        "calibration_windows": 8,
        "sublayers": False,
        "gate": {"steps": 2},
    },
    "search": {"shares": [0.67], "rungs": [2], "valid_windows": 16},
    "healing": {
        "steps": 2,
        "options": ["distilled", "hidden", "iterative+hidden_cut", "head_last"],
        "seam_repair": True,
    },
    "controls": {"random_masks": 1},
    "stability": {"draws": 1, "horizons": []},
    "evaluation": {"stride": 32},
}


def run(stage: Stage) -> None:
    _python, _m, module, *arguments = shlex.split(stage.command)
    importlib.import_module(module).main(arguments)


@pytest.mark.slow
def test_no_stage_mixes_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = merge(load_preset(ROOT / "params.yaml", "smoke"), OVERRIDE)
    (tmp_path / "params.yaml").write_text(yaml_text(content))
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    shutil.copytree(ROOT / "data/pretrained/none", tmp_path / "data/pretrained/none")
    monkeypatch.chdir(tmp_path)
    load_params()
    stages = {stage.name: stage for stage in read_graph(ROOT / "dvc.yaml", content).stages}
    for name, stage in stages.items():
        if name.partition("@")[0] in BEFORE:
            run(stage)
    with emulated_device() as device:
        for part in COMPUTING:
            module = importlib.import_module(f"tasks.{part}")
            monkeypatch.setattr(module, "pick_device", lambda _choice: device)
            run(stages[f"{part}@demo-tsfm-pico"])
    found = Evaluation.read(Path("evaluation/demo/tsfm-pico/evaluation.json"))
    assert 0 < found.full.mse < 10
    assert torch.get_default_device() == torch.device("cpu")
