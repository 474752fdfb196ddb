"""The whole graph on smoke parameters with real DVC: three ways for a model to start."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from transformers import AutoModel, GPT2Config, GPT2Model

from tasks.artifacts.files import read_json
from tasks.data.series import load_series
from tasks.models.registry import load_model
from tasks.params import validate_params, yaml_text
from tasks.presets import load_preset, merge
from tasks.training.replay import load_replay
from tests import ROOT

pytestmark = pytest.mark.slow

OVERRIDE = {
    "run": {
        "models": {"tsfm-pico": "none", "specialised": "base", "text": "none"},
        "corpora": ["synthetic_corpus"],
        "mixes": ["both"],
        "pretrain": {"base": "both"},
    },
    "mixes": {
        "both": {
            "members": ["synthetic_corpus", "demo"],
            "weights": "capped",
            "cap": 200,
            "replay_windows": 50,
        }
    },
    "healing": {
        "options": ["distilled", "distilled+replay"],
        "scratch": ["plain", "plain+replay"],
    },
    "models": {
        "base": {"family": "tsfm", "scale": "pico", "patch": 16},
        "specialised": {
            "family": "tsfm",
            "scale": "pico",
            "patch": 16,
            "start": {"kind": "pretrained", "model": "base"},
            "training": {"train_share": 0.5},
        },
        "text": {
            "family": "llm4ts",
            "scale": "pico",
            "head": "flatten",
            "patch": 16,
            "stride": 8,
            "start": {"kind": "folder", "path": "backbone"},
        },
    },
}
PAIRS = [f"demo-{model}" for model in OVERRIDE["run"]["models"]]
EVALUATED = {f"evaluate@{pair}" for pair in PAIRS}


class Project:
    """A workspace in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def dvc(self, *arguments: str) -> str:
        return self.run("dvc", *arguments)

    def run(self, module: str, *arguments: str) -> str:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        quiet = {"DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1", "PATH": programs}
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=os.environ | quiet,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stale(self) -> set[str]:
        """Stages that DVC would run again."""
        import json

        return set(json.loads(self.dvc("status", "--json")))

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.root / "params.yaml"
        content = YAML(typ="safe", pure=True).load(path.read_text())
        change(content)
        path.write_text(yaml_text(content))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("project")
    for name in ("tasks", "data"):
        ignored = shutil.ignore_patterns("__pycache__", "raw", "prepared", "test", "mixes")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copyfile(ROOT / "dvc.yaml", root / "dvc.yaml")
    content = merge(load_preset(ROOT / "params.yaml", "smoke"), OVERRIDE)
    validate_params(content, "smoke")
    (root / "params.yaml").write_text(yaml_text(content))
    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=5, n_head=2, vocab_size=11, n_positions=32)
    GPT2Model(config).save_pretrained(root / "backbone")
    made = Project(root)
    made.run("flows.cli", "run")  # two stages at once; what follows asks dvc itself
    return made


@pytest.fixture
def same_after(project: Project):
    """Puts params.yaml back."""
    before = (project.root / "params.yaml").read_text()
    yield
    (project.root / "params.yaml").write_text(before)


def test_a_second_repro_runs_nothing(project):
    assert "Running stage" not in project.dvc("repro")
    assert project.stale() == set()


def test_the_summary_keeps_its_contract(project):
    rows = read_json(project.root / "reports/summary.json")
    assert [row["model"] for row in rows] == list(OVERRIDE["run"]["models"])
    for row in rows:
        assert 0 < row["layers_kept"] == len(row["keep"]) < row["layers_full"] == 4
        assert len(row["controls"]) >= 8
        assert row["verdict"] in {"superior", "non-inferior", "inconclusive", "inferior"}
        assert 0 < row["params_pruned"] < row["params_full"]
    assert "zero_shot" in rows[1]["controls"]
    assert "zero_shot" not in rows[0]["controls"]


def test_only_a_model_pretrained_on_a_mix_is_healed_with_replay(project):
    for model, expected in (
        ("tsfm-pico", ["distilled"]),
        ("specialised", ["distilled", "distilled+replay"]),
    ):
        found = read_json(project.root / "models/pruned/demo" / model / "prune.json")
        assert [option["name"] for option in found["options"]] == expected
        windows = load_replay(project.root / "models/start" / model)
        assert len(windows) == (50 if model == "specialised" else 0)


def test_the_page_says_where_the_weights_came_from(project):
    page = (project.root / "reports/index.html").read_text()
    assert "pretrained on both" in page
    assert "backbone" in page


def test_models_are_what_the_search_chose_and_transformers_loads_them(project):
    for model in OVERRIDE["run"]["models"]:
        chosen = read_json(project.root / f"search/demo/{model}/search.json")["keep"]
        folder = project.root / f"models/pruned/demo/{model}"
        assert list(load_model(folder).kept) == chosen
        _, info = AutoModel.from_pretrained(folder / "backbone", output_loading_info=True)
        assert not any(info.values())


def test_frozen_text_weights_stay_and_the_rest_learns(project):
    start = load_model(project.root / "models/start/text").state_dict()
    full = load_model(project.root / "models/full/demo/text").state_dict()
    changed = {name for name, tensor in full.items() if not torch.equal(tensor, start[name])}
    assert not any("attn" in name or "mlp" in name or "wte" in name for name in changed)
    assert {"head.weight", "embedding.weight", "backbone.wpe.weight"} <= changed


def test_history_ends_where_the_test_range_begins(project):
    history = load_series(project.root / "data/prepared/demo/history")
    test = load_series(project.root / "data/test/demo")
    for past, future in zip(history.series, test.series, strict=True):
        reach = test.values[future.start : future.start + 64]
        end = past.start + past.length
        np.testing.assert_array_equal(reach, history.values[end - 64 : end])
    assert len(test.values) == len(test.series) * (64 + 240)


def test_controls_differ_and_keep_the_size(project):
    folder = project.root / "models/controls/demo/tsfm-pico"
    chosen = read_json(project.root / "search/demo/tsfm-pico/search.json")["keep"]
    names = {path.name for path in folder.iterdir()}
    assert {"first", "last", "even", "zero", "scratch", "full_extra", "random_0"} <= names
    for name in names - {"zero", "full_extra"}:
        assert load_model(folder / name).num_blocks == len(chosen)
    assert load_model(folder / "zero").num_blocks == 0
    assert load_model(folder / "full_extra").num_blocks == 4


@pytest.mark.usefixtures("same_after")
@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (
            lambda p: p.update(granularity="sublayer"),
            {*(f"{stage}@{pair}" for stage in ("score", "search") for pair in PAIRS), "report"},
        ),
        (lambda p: p["evaluation"].update(alpha=0.1), {*EVALUATED, "report"}),
        (lambda p: p["measure"].update(repeats=4), {*(f"measure@{x}" for x in PAIRS), "report"}),
        (lambda p: p["runtime"].update(threads=2), set()),
        (lambda p: p["presets"].update(new={}) if "presets" in p else None, set()),
        (
            lambda p: p["scales"]["large"].update(learning_rate=0.5),
            {"base@base", *(f"start@{m}" for m in OVERRIDE["run"]["models"]), "report"},
        ),
        (
            lambda p: p["models"]["text"].update(training={"steps": 21}),
            {
                "start@text", "train@demo-text", "search@demo-text", "prune@demo-text",
                "controls@demo-text", "evaluate@demo-text", "package@demo-text", "report",
            },
        ),
        (
            lambda p: p["controls"].update(random_masks=4),
            {*(f"controls@{pair}" for pair in PAIRS), "report"},
        ),
    ],
)  # fmt: skip
def test_a_changed_parameter_makes_exactly_its_readers_stale(project, change, stages):
    project.edit(change)
    assert project.stale() == stages


def test_a_changed_code_file_makes_exactly_its_importers_stale(project):
    path = project.root / "tasks/metrics/latency.py"
    before = path.read_text()
    path.write_text(before + "\n# changed\n")
    try:
        assert project.stale() == {"code"}
        project.dvc("repro", "code")
        assert project.stale() == {f"measure@{pair}" for pair in PAIRS}
    finally:
        path.write_text(before)
        project.dvc("repro", "code")
    assert project.stale() == set()


@pytest.mark.usefixtures("same_after")
def test_a_scale_that_is_not_used_costs_its_resolution_only(project):
    """`start` runs again, finds the same weights, and nothing after it has to."""
    project.edit(lambda p: p["scales"]["large"].update(learning_rate=0.5))
    output = project.dvc("repro", "train@demo-text")
    assert "Running stage 'start@text'" in output
    assert "Running stage 'train@demo-text'" not in output
    project.dvc("repro")


def test_metrics_params_and_plots_are_there_for_dvc(project):
    assert "mse_pruned" in project.dvc("metrics", "show")
    assert "train" in project.dvc("plots", "show", "--json")


def test_run_again_from_nothing_gives_the_same_bytes(project):
    weights = project.root / "models/pruned/demo/tsfm-pico/model.safetensors"
    metrics = project.root / "metrics/demo/tsfm-pico.json"
    before = weights.read_bytes(), metrics.read_bytes()
    for stage in ("train", "score", "search", "stability", "prune", "controls", "evaluate"):
        project.dvc("repro", "--single-item", "--force", f"{stage}@demo-tsfm-pico")
    assert (weights.read_bytes(), metrics.read_bytes()) == before
