"""A Chronos-Bolt folder goes in and a pruned one comes out, which its own library loads."""

import importlib
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from flows import dvc
from flows.add_model import add_model
from flows.environment import base_environment
from tasks.artifacts.evaluation import Evaluation
from tasks.artifacts.files import read_json, sha256_of
from tasks.artifacts.scoring import Scores
from tasks.artifacts.search import SearchResult
from tasks.artifacts.training import StartSummary, TrainingSummary
from tasks.models.registry import load_model
from tasks.params import load_params, read_yaml, validate_params, yaml_text
from tasks.pipeline.graph import read_graph
from tasks.presets import load_preset, merge
from tests import ROOT
from tests.tasks.models.zoo.tiny_bolt import save_as_library

pytest.importorskip("chronos")
pytestmark = pytest.mark.slow

OVERRIDE = {
    "generator": {"rows": 800},
    "scoring": {"sensitivity": {"windows": [], "draws": []}, "sublayers": False},
    "search": {"shares": [0.4], "cost": "latency", "rungs": [2, 4]},
    "healing": {
        "steps": 4,
        "options": ["plain", "iterative+hidden_cut", "head_last"],
        "scratch": ["plain"],
    },
    "controls": {"random_masks": 2},
    "stability": {"draws": 1},
    "evaluation": {"stride": 4},
    "measure": {"batch_sizes": [2]},
}
MODELS = ["bolt-tuned", "bolt-as-is"]
BLOCKS = 5


def run_all(root: Path) -> None:
    """Every stage of the graph in this process, as dvc.yaml says; what it names must be there."""
    graph = read_graph(ROOT / "dvc.yaml", read_yaml(root / "params.yaml"))
    for stage in graph.stages:
        _python, _m, module, *arguments = shlex.split(stage.command)
        assert [dep for dep in stage.deps if not Path(dep).exists()] == [], stage.name
        importlib.import_module(module).main(arguments)
        assert [out for out in stage.outs if not Path(out).exists()] == [], stage.name


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    root = tmp_path_factory.mktemp("zoo")
    checkpoint = root / "given/chronos-bolt"
    save_as_library(checkpoint)
    (checkpoint / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    shutil.copytree(ROOT / "data/pretrained/none", root / "project/data/pretrained/none")
    (root / "project/tasks").symlink_to(ROOT / "tasks")
    root, params = root / "project", root / "project/params.yaml"
    params.write_text(yaml_text(merge(load_preset(ROOT / "params.yaml", "smoke"), OVERRIDE)))
    add_model(root, "bolt", str(checkpoint), hub_id="amazon/chronos-bolt-tiny", as_it_is=True)
    content = read_yaml(params)
    content["run"]["models"].pop("tsfm-pico")
    content["models"]["bolt-tuned"]["training"] = {"steps": 6, "eval_every": 3, "loss": "native"}
    validate_params(content, "params.yaml")
    params.write_text(yaml_text(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("PYTHONPATH", str(ROOT))  # `measure` starts processes
        run_all(root)
    return root


@pytest.mark.parametrize("model", MODELS)
def test_its_own_library_loads_what_is_published_and_forecasts_the_same(
    run: Path, model: str
) -> None:
    from chronos import BaseChronosPipeline
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    folder = run / "models/published/demo" / model
    _, info = ChronosBoltModelForForecasting.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    pipeline = BaseChronosPipeline.from_pretrained(folder)
    context = torch.arange(64.0)[None].sin().repeat(3, 1) * torch.tensor([[1.0], [5.0], [0.1]])
    quantiles, mean = pipeline.predict_quantiles(context, prediction_length=16)
    own = load_model(run / "models/pruned/demo" / model)
    with torch.inference_mode():
        expected = own.forecast(context, 16)
    torch.testing.assert_close(mean, expected.mean)
    assert quantiles.shape == (3, 16, 9)
    kept = pipeline.model.config.num_layers + pipeline.model.config.num_decoder_layers
    assert kept == own.num_blocks < BLOCKS


@pytest.mark.parametrize("model", MODELS)
def test_the_card_loads_it_too_and_names_the_parent(
    run: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    text = (run / "models/published/demo" / model / "README.md").read_text()
    data = ModelCard(text).data.to_dict()
    assert data["base_model"] == "amazon/chronos-bolt-tiny"
    assert data["license"] == "apache-2.0"
    assert data["library_name"] == "chronos-forecasting"
    names: dict[str, object] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own text
    assert tuple(names["mean"].shape) == (2, 16)  # type: ignore[attr-defined]
    assert "`encoder.block`:" in text
    assert str(run.parent) not in text


@pytest.mark.parametrize("model", MODELS)
def test_zero_shot_and_tuned_full_and_pruned_are_judged(run: Path, model: str) -> None:
    found = Evaluation.read(run / "evaluation/demo" / model / "evaluation.json")
    assert found.stacks == {"encoder.block": 3, "decoder.block": 2}
    assert (found.layers_full, found.layers_kept) == (BLOCKS, len(found.keep))
    assert found.zero_shot is not None
    assert found.zero_shot_pruned is not None
    is_tuned = model == "bolt-tuned"
    assert (found.zero_shot.mse != found.full_untuned.mse) == is_tuned
    assert {"scratch", "zero", "random_0", "full_extra", "linear"} <= set(found.controls)


def test_a_model_of_no_training_steps_is_the_checkpoint(run: Path) -> None:
    folder = run / "models/full/demo/bolt-as-is"
    assert TrainingSummary.read(folder / "training.json").steps_run == 0
    given = load_model(run / "data/pretrained/bolt").state_dict()
    full = load_model(folder).state_dict()
    assert all(torch.equal(full[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize("model", MODELS)
def test_both_stacks_are_scored_and_searched_under_one_budget(run: Path, model: str) -> None:
    scores = Scores.read(run / f"scores/demo/{model}.json")
    assert {len(score.values) for score in scores.scores.values()} == {BLOCKS}
    found = SearchResult.read(run / "search/demo" / model / "search.json")
    assert (found.num_blocks, found.sizes, found.num_masks) == (BLOCKS, [2], 10)
    kept = load_model(run / "models/pruned/demo" / model).kept
    assert list(kept) == found.keep


def test_the_checkpoint_is_part_of_the_provenance(run: Path) -> None:
    given = run.parent / "given/chronos-bolt/model.safetensors"
    for name in ("data/pretrained/bolt", "models/start/bolt-tuned"):
        parent = StartSummary.read(run / name / "start.json").parent
        assert parent is not None
        assert parent.sha256 == {"model.safetensors": sha256_of(given)}


def test_the_report_tells_of_both_models(run: Path) -> None:
    rows = read_json(run / "reports/summary.json")
    assert [row["model"] for row in rows] == MODELS  # type: ignore[attr-defined]
    assert all("zero_shot_pruned" in row["controls"] for row in rows)  # type: ignore[attr-defined]
    page = (run / "reports/index.html").read_text()
    assert "Blocks by stack: 0 to 2 are encoder.block" in page
    assert "neither tuned nor healed on this dataset" in page


def test_dvc_imports_a_checkpoint_from_outside_the_project(run: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in ("params.yaml", "code"):
        copy = shutil.copytree if (run / name).is_dir() else shutil.copyfile
        root.mkdir(exist_ok=True)
        copy(run / name, root / name)
    (root / "tasks").symlink_to(ROOT / "tasks")
    shutil.copytree(run / "data/pretrained/none", root / "data/pretrained/none")
    shutil.copyfile(ROOT / "dvc.yaml", root / "dvc.yaml")
    dvc.prepare(root)
    stages = {stage.name: set(stage.parents) for stage in dvc.stage_graph(root)}
    assert stages["start@bolt-tuned"] == {"adopt@bolt", "code"}
    assert {"measure@demo-bolt-tuned", "evaluate@demo-bolt-tuned"} <= stages[
        "package@demo-bolt-tuned"
    ]
    lines: list[str] = []
    dvc.reproduce(root, "adopt@bolt", environment=base_environment(), on_line=lines.append)
    assert load_model(root / "data/pretrained/bolt").num_blocks == BLOCKS
    assert not dvc.changed(root, "adopt@bolt")
    source = Path(load_params(root / "params.yaml").run.imports["bolt"])
    try:
        (source / "note").write_text("another checkpoint")
        assert dvc.changed(root, "adopt@bolt")
    finally:
        (source / "note").unlink()
