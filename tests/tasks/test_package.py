"""The stage package on a made-up run: who loads what it writes, and what the card says."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import GPT2Config, GPT2LMHeadModel

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Evaluation
from tasks.artifacts.training import ParentModel, StartSummary
from tasks.errors import CheckpointError
from tasks.models.base import ForecastModel
from tasks.models.publish import loader_of
from tasks.models.registry import load_model
from tasks.package import main
from tasks.params import yaml_text
from tests.tasks.figures.made_up_run import made_up_params, write_pair, write_run
from tests.tiny import CONTEXT, HORIZON, tiny_model

ARGUMENTS = ["--dataset", "demo", "--model", "tsfm-pico"]
PAIR = Path("demo/tsfm-pico")
OUT = Path("models/published") / PAIR
PARENT = ParentModel(
    id="someone/a-model",
    revision="0" * 40,
    license={"license": "apache-2.0"},
    sha256={"model.safetensors": "1" * 64},
)


def write_workspace(root: Path, model: ForecastModel, parent: ParentModel | None = None) -> None:
    """The made-up run with a real pruned model; the working folder must then be `root`."""
    choice = {"datasets": ["demo"], "models": ["tsfm-pico"]}
    write_run(root, **choice)
    write_pair(root, *PAIR.parts)
    (root / "params.yaml").write_text(yaml_text(made_up_params(**choice)))
    model.save(root / "models/pruned" / PAIR)
    raw = root / "data/raw/demo"
    raw.mkdir(parents=True)
    (raw / "demo.csv").write_text("date,a\n2024-01-01,1\n")
    StartSummary(
        origin="/home/someone/secret/checkpoint",
        scale=None,
        learning_rate=1e-3,
        source_sha256={},
        parent=parent,
    ).write(root / "models/start/tsfm-pico/start.json")


def run_code(card: str) -> dict[str, object]:
    """What the Python on a card makes."""
    code = card.split("```python\n")[1].split("```", maxsplit=1)[0]
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the card is ours
    return names


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_own_model_is_the_whole_pruned_folder_and_the_card_loads_it(workspace: Path) -> None:
    model = tiny_model().with_blocks([0, 2])
    write_workspace(workspace, model)
    main(ARGUMENTS)
    context = torch.randn(2, CONTEXT)
    again = load_model(OUT)
    assert again.kept == (0, 2)
    assert torch.equal(again.forecast(context, 5).mean, model.forecast(context, 5).mean)
    names = run_code((OUT / "README.md").read_text())
    assert tuple(names["mean"].shape) == (2, HORIZON)  # type: ignore[attr-defined]


def test_the_card_is_read_by_the_hub_and_says_what_was_found(workspace: Path) -> None:
    write_workspace(workspace, tiny_model(), PARENT)
    main(ARGUMENTS)
    text = (OUT / "README.md").read_text()
    data = ModelCard(text).data.to_dict()
    assert data["base_model"] == "someone/a-model"
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "time-series-forecasting"
    assert data["library_name"] == "fewlayers"
    assert data["datasets"] == ["demo"]
    assert data["metrics"] == ["mse", "mae", "mase"]
    assert {"tsfm", "layer-pruning"} <= set(data["tags"])
    found = Evaluation.read(Path("evaluation") / PAIR / "evaluation.json")
    for expected in (
        f"**{found.verdict}**", f"{found.pruned.mse:.4f}", found.reason, "Blocks 0, 1, 5 (of 12)",
        "random 3", "3.20 x", "`distilled`", "demo.csv", "1" * 64, "synthetic",
    ):  # fmt: skip
        assert expected in text, expected
    assert "secret" not in text


def test_what_is_not_known_is_left_out(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    main(ARGUMENTS)
    text = (OUT / "README.md").read_text()
    assert {"base_model", "license"} & set(ModelCard(text).data.to_dict()) == set()
    assert "Parent" not in text


def test_the_blocks_of_several_stacks_are_told_apart(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    path = Path("evaluation") / PAIR / "evaluation.json"
    stacks = {"encoder.block": 4, "decoder.block": 8}
    Evaluation.read(path).model_copy(update={"stacks": stacks, "keep": [0, 3, 5]}).write(path)
    main(ARGUMENTS)
    text = (OUT / "README.md").read_text()
    assert "* `encoder.block`: 0, 3 (of 4)\n* `decoder.block`: 1 (of 8)" in text


def test_a_validation_range_too_short_to_choose_by_is_said(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    main(ARGUMENTS)
    assert "side by side" not in (OUT / "README.md").read_text()
    path = Path("data/prepared/demo/profile.json")
    Profile.read(path).model_copy(update={"valid_rows": 3 * HORIZON}).write(path)
    main(ARGUMENTS)
    told = f"holds 3 forecasts of {HORIZON} rows side by side"
    assert told in (OUT / "README.md").read_text()


def test_fewer_training_rows_than_one_window_are_said(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    main(ARGUMENTS)
    assert "fewer than one window" not in (OUT / "README.md").read_text()
    path = Path("data/prepared/demo/profile.json")
    Profile.read(path).model_copy(update={"train_rows": HORIZON}).write(path)
    main(ARGUMENTS)
    assert f"rows used ({HORIZON}) are fewer than one window" in (OUT / "README.md").read_text()


def test_a_data_file_that_changes_changes_the_data_version(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    main(ARGUMENTS)
    before = (OUT / "README.md").read_text()
    Path("data/raw/demo/demo.csv").write_text("date,a\n2024-01-01,2\n")
    main(ARGUMENTS)
    old, new = (
        next(line for line in text.splitlines() if "Data version" in line)
        for text in (before, (OUT / "README.md").read_text())
    )
    assert old != new


def test_an_older_package_is_replaced(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    OUT.mkdir(parents=True)
    (OUT / "stale.bin").write_text("old")
    main(ARGUMENTS)
    assert not (OUT / "stale.bin").exists()


def test_a_missing_model_is_one_clear_error(workspace: Path) -> None:
    write_workspace(workspace, tiny_model())
    for path in (Path("models/pruned") / PAIR).rglob("*.*"):
        path.unlink()
    with pytest.raises(CheckpointError, match=r"backbone: no config.json there"):
        main(ARGUMENTS)


def test_a_backbone_that_is_all_there_is_goes_to_its_own_library(tmp_path: Path) -> None:
    model = tiny_model()
    model.save(tmp_path / "own")
    assert loader_of(tmp_path / "own").library == "fewlayers"  # embedding and head lie outside
    GPT2LMHeadModel(
        GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=11, n_positions=8)
    ).save_pretrained(tmp_path / "bare/backbone")
    from safetensors.torch import save_file

    save_file({}, tmp_path / "bare/model.safetensors")
    loader = loader_of(tmp_path / "bare")
    assert loader.library == "transformers"
    code = loader.lines(str(tmp_path / "bare/backbone"), 8, 4)
    assert type(run_code(f"```python\n{code}```")["model"]).__name__ == "GPT2LMHeadModel"
