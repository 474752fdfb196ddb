"""What computes, with the model on a device that is not the CPU's.

Run by tests/test_emulated.py in a process of its own: torch must know the device before its first
backward pass, and other tests must not meet it.
"""

import copy
import importlib
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from tasks.artifacts.evaluation import Evaluation
from tasks.models.interface import LossSpec, task_loss
from tasks.params import load_params, yaml_text
from tasks.pipeline.graph import Stage, read_graph
from tasks.presets import load_preset, merge
from tests import ROOT
from tests.emulated import device, emulated_device
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.custom_functions import put_in_place

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


ZOO = Path(__file__).parent / "tasks/models/zoo"

device()


def families() -> list[type[Contract]]:
    """The contract's classes of all families that are installed."""
    for path in sorted(ZOO.glob("test_*.py")):
        try:
            importlib.import_module(f"tests.tasks.models.zoo.{path.stem}")
        except pytest.skip.Exception:  # its package is missing
            continue
    found, todo = [], [Contract]
    while todo:
        below = todo.pop().__subclasses__()
        todo += below
        found += [kind for kind in below if kind.__name__.startswith("Test")]
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.fixture(autouse=True)
def _own_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)


@pytest.mark.parametrize("family", families())
def test_a_family_works_where_its_weights_lie(family: type[Contract]) -> None:
    contract, context = family(), windows()[:, :CONTEXT]
    model = contract.build()
    expected = contract.mean(model, context)
    with emulated_device() as there:
        moved = copy.deepcopy(model).to(there)
        found = contract.mean(moved, context.to(there))
        assert (found.device, found.shape[1]) == (there, HORIZON)
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-4)
        loss = task_loss(moved.outputs(windows().to(there)), LossSpec())
        loss.backward()
        smaller = moved.with_blocks(range(1, model.num_blocks))
        assert {one.device for one in smaller.parameters()} == {there}
        assert {trace.hidden.device for trace in moved.trace(context.to(there))} == {there}


def run(stage: Stage) -> None:
    _python, _m, module, *arguments = shlex.split(stage.command)
    importlib.import_module(module).main(arguments)


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
    with emulated_device() as there:
        for part in COMPUTING:
            module = importlib.import_module(f"tasks.{part}")
            monkeypatch.setattr(module, "pick_device", lambda _choice: there)
            run(stages[f"{part}@demo-tsfm-pico"])
    found = Evaluation.read(Path("evaluation/demo/tsfm-pico/evaluation.json"))
    assert 0 < found.full.mse < 10
    assert torch.get_default_device() == torch.device("cpu")
