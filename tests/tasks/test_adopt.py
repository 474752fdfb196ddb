"""Stage `adopt`: a checkpoint in a folder becomes a model to tune or prune."""

import sys
from pathlib import Path

import pytest
import torch

from tasks.artifacts.training import StartSummary
from tasks.errors import CheckpointError, ParamsError
from tasks.models.registry import load_model
from tasks.start import main
from tasks.training.replay import load_replay
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, windows
from tests.tasks.models.zoo.tiny_bolt import save_as_library

pytest.importorskip("chronos")

ADOPT = ["--model", "bolt", "--into", "data/pretrained"]
PARAMS = f"""\
run: {{datasets: [d], models: {{tuned: bolt}}, imports: {{bolt: checkpoint}}}}
windows: {{context: {CONTEXT}, horizon: {HORIZON}}}
datasets: {{d: {{}}}}
scales: {{}}
models:
  bolt: {{family: chronos_bolt, start: {{kind: folder, path: checkpoint}}, learning_rate: 2e-4}}
  tuned: {{family: chronos_bolt, start: {{kind: pretrained, model: bolt}}}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    save_as_library(tmp_path / "checkpoint", max_shard_size="50KB")
    return tmp_path


def test_a_checkpoint_becomes_a_model_folder_that_says_where_it_is_from(workspace: Path) -> None:
    main(ADOPT)
    folder = Path("data/pretrained/bolt")
    summary = StartSummary.read(folder / "start.json")
    assert (summary.origin, summary.scale, summary.learning_rate) == ("checkpoint", None, 2e-4)
    shards = sorted(path.name for path in Path("checkpoint").glob("*.safetensors"))
    assert len(shards) > 1
    assert sorted(summary.source_sha256) == shards
    assert load_replay(folder).shape == (0, CONTEXT + HORIZON)
    model = load_model(folder)
    assert (model.config.origin, model.stack_sizes) == ("checkpoint", [3, 2])


def test_the_librarys_own_loader_forecasts_the_same_from_both_folders(workspace: Path) -> None:
    from chronos import BaseChronosPipeline

    main(ADOPT)
    context = windows()[:, :CONTEXT]
    means = [
        BaseChronosPipeline.from_pretrained(folder).predict_quantiles(context, HORIZON)[1]
        for folder in ("checkpoint", "data/pretrained/bolt/backbone")
    ]
    assert torch.equal(means[0], means[1])
    with torch.no_grad():
        found = load_model(Path("data/pretrained/bolt")).forecast(context, HORIZON).mean
    torch.testing.assert_close(found, means[0])


def test_an_entry_that_is_tuned_starts_from_the_imported_one(workspace: Path) -> None:
    main(ADOPT)
    main(["--model", "tuned"])
    imported, tuned = (
        load_model(Path("data/pretrained/bolt")),
        load_model(Path("models/start/tuned")),
    )
    assert tuned.config.origin == "checkpoint"
    for name, tensor in imported.state_dict().items():
        assert torch.equal(tuned.state_dict()[name], tensor), name


def test_a_folder_that_is_not_there_is_refused_and_nothing_is_written(workspace: Path) -> None:
    Path("checkpoint").rename("elsewhere")
    with pytest.raises(CheckpointError, match=r"checkpoint: no config\.json there"):
        main(ADOPT)
    assert not Path("data").exists()


def test_an_unknown_model_is_refused(workspace: Path) -> None:
    with pytest.raises(ParamsError, match="no model named 'none'; it has: bolt, tuned"):
        main(["--model", "none"])


def test_without_the_familys_package_it_says_what_to_install_and_writes_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "tasks.models.zoo.chronos_bolt", raising=False)
    monkeypatch.setitem(sys.modules, "chronos", None)
    with pytest.raises(ParamsError, match=r"'chronos', .* pip install 'fewlayers\[chronos\]'"):
        main(ADOPT)
    assert not Path("data").exists()
