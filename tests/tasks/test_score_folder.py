"""Blocks scored outside of a pipeline: the pipeline's scores, whatever folder the model lies in."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.artifacts.scoring import Scores
from tasks.errors import CheckpointError, DataError, ParamsError
from tasks.models.sublayers import split_blocks
from tasks.params import Params, load_params
from tasks.score_folder import NAMES, FolderScores, score_folder
from tasks.sections.data import Dataset
from tests import ROOT
from tests.tiny import CONTEXT, HORIZON, tiny_model

ENTRY = Dataset(freq="h", time_column="date")
PARAMS = f"""
run: {{datasets: [waves], models: {{small: none}}}}
windows: {{context: {CONTEXT}, horizon: {HORIZON}}}
datasets: {{waves: {{freq: h, time_column: date}}}}
scales: {{two: {{backbone: gpt2, blocks: 5, width: 16, heads: 2, learning_rate: 1e-3}}}}
models: {{small: {{family: tsfm, scale: two}}}}
scoring: {{scores: [removal_loss], calibration_windows: 24, batch_size: 16, draw: random}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    time = np.arange(900)
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=900, freq="h")})
    for name in ("a", "b"):
        frame[name] = 50 + 9 * np.sin(time / 4) + rng.standard_normal(900)
    frame.loc[100:110, "b"] = np.nan
    (tmp_path / "data/raw/waves").mkdir(parents=True)
    frame.to_csv(tmp_path / "data/raw/waves/waves.csv", index=False)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def params(workspace: Path) -> Params:
    return load_params(workspace / "params.yaml")


FILE = Path("data/raw/waves/waves.csv")


def stage(root: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )


def test_a_model_of_the_pipeline_gets_the_scores_it_got_there(
    workspace: Path, params: Params
) -> None:
    folder = Path("models/full/waves/small")
    tiny_model("gpt2").save(folder)
    (workspace / "params.yaml").write_text(PARAMS.replace("removal_loss", ", ".join(NAMES)))
    stage(workspace, "tasks.prepare", "--dataset", "waves")
    stage(workspace, "tasks.score", "--dataset", "waves", "--model", "small")
    there = Scores.model_validate_json(Path("scores/waves/small.json").read_text()).scores
    here = score_folder(folder, FILE, ENTRY, params)
    assert (here.is_streamed, here.windows, dict(here.stacks)) == (True, 24, {"h": 5})
    assert list(here.scores) == list(there) == list(NAMES)
    for name, score in here.scores.items():
        np.testing.assert_allclose(score.values, there[name].values, rtol=1e-12)
        assert len(set(score.values)) > 2


def test_a_model_that_cannot_be_streamed_is_loaded(workspace: Path, params: Params) -> None:
    tiny_model().save(workspace / "blocks")
    split_blocks(tiny_model()).save(workspace / "halves")
    whole = score_folder(workspace / "blocks", FILE, ENTRY, params)
    halves = score_folder(workspace / "halves", FILE, ENTRY, params)
    assert (halves.num_blocks, halves.is_streamed) == (2 * whole.num_blocks, False)


def test_a_published_checkpoint_is_scored_as_its_model_folder(
    workspace: Path, params: Params
) -> None:
    pytest.importorskip("chronos")
    from tests.tasks.models.zoo.tiny_bolt import tiny

    tiny().save(workspace / "bolt")
    model = score_folder(workspace / "bolt", FILE, ENTRY, params)
    checkpoint = workspace / "bolt/backbone"
    found = score_folder(checkpoint, FILE, ENTRY, params, family="chronos_bolt")
    assert dict(found.stacks) == {"encoder.block": 3, "decoder.block": 2}
    assert found.frame()["stack"].tolist() == ["encoder.block"] * 3 + ["decoder.block"] * 2
    for share, inside in ((0.0, 1), (0.5, 1), (0.7, 2)):
        for keep in found.keeps(share).values():
            assert [sum(block < 3 for block in keep), sum(block > 2 for block in keep)] == [
                inside, 1,
            ]  # fmt: skip
    values = found.scores["block_influence"].values
    best = (values.index(max(values[:3])), values.index(max(values[3:])))
    assert found.keeps(0.3)["block_influence"] == best
    # windows are drawn at random by the folder's name, so only what is the same is compared
    spaced = params.model_copy(
        update={"scoring": params.scoring.model_copy(update={"draw": "spaced"})}
    )
    model, found = (
        score_folder(one, FILE, ENTRY, spaced) for one in (workspace / "bolt", checkpoint)
    )
    assert model == found


def test_what_each_score_keeps(workspace: Path, params: Params) -> None:
    tiny_model().save(workspace / "model")
    found = score_folder(workspace / "model", FILE, ENTRY, params)
    for share, size in ((0.0, 1), (0.39, 1), (0.4, 2), (1.0, 5)):
        assert {len(keep) for keep in found.keeps(share).values()} == {size}
    values = found.scores["block_influence"].values
    assert found.keeps(0.2)["block_influence"] == (values.index(max(values)),)


def run(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["score", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_the_command_prints_a_table_and_commands_that_prune(workspace: Path) -> None:
    tiny_model().save(workspace / "model")
    options = ["--freq", "h", "--time-column", "date", "--share", "0.4", "--out", "scores.csv"]
    lines = run("model", str(FILE), *options)
    assert any("* kept, 2 of 5 blocks (--share 0.4)" in line for line in lines)
    frame = pd.read_csv("scores.csv")
    assert list(frame.columns) == ["block", "stack", *NAMES]
    assert len(frame) == 5
    line = next(line for line in lines if line.startswith("block_influence: "))
    best = frame["block_influence"].nlargest(2).index
    assert line.endswith(f'fewlayers prune model OUT --keep "{min(best)} {max(best)}"')
    keep = line.split('"')[1]
    pruned = CliRunner().invoke(app, ["prune", "model", "out", "--keep", keep])
    assert pruned.exit_code == 0
    assert "block_influence" in "\n".join(run("out", str(FILE), *options[:4]))


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"family": "moirai"}, ParamsError, "--family: model is a model folder and says its own"),
        ({"out": "scores.json"}, ParamsError, "--out: must end in .csv; got 'scores.json'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    workspace: Path, change: dict[str, str], kind: type[Exception], reason: str
) -> None:
    tiny_model().save(workspace / "model")
    options = [word for name, value in change.items() for word in (f"--{name}", value)]
    with pytest.raises(kind, match=reason):
        run("model", str(FILE), "--time-column", "date", *options)


def test_folders_and_families_that_are_none_are_refused(workspace: Path, params: Params) -> None:
    def score(folder: str, family: str | None = None) -> FolderScores:
        return score_folder(Path(folder), FILE, ENTRY, params, family=family)

    with pytest.raises(CheckpointError, match=r"nowhere: no config.json there; name a check"):
        score("nowhere")
    tiny_model().save(workspace / "model")
    with pytest.raises(CheckpointError, match=r"config.json: a text model \(gpt2\); give --family"):
        score("model/backbone")
    with pytest.raises(ParamsError, match=r"--family: must be one of chronos_bolt, .*; got 'gpt'"):
        score("model/backbone", "gpt")


def test_a_file_too_short_for_the_model_is_refused(workspace: Path, params: Params) -> None:
    tiny_model(horizon=400).save(workspace / "model")
    with pytest.raises(DataError, match=r"waves.csv: "):
        score_folder(workspace / "model", FILE, ENTRY, params)
