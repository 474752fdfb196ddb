"""Checkpoints from a hub that answers, breaks off, lacks what is asked for, or is not there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from flows.add_model import add_model
from flows.errors import FlowError
from tasks import start as start_stage
from tasks.artifacts.training import StartSummary
from tasks.errors import CheckpointError
from tasks.models.registry import load_model
from tasks.models.upstream import commit_of, fetch
from tasks.params import load_params
from tasks.sections.models import HubStart
from tests import ROOT
from tests.flows.support import Workspace
from tests.hub import Hub, running_hub
from tests.tasks.models.sharding import shard_checkpoint
from tests.tasks.models.zoo.tiny_bolt import save_as_library

pytest.importorskip("chronos")
NAME = "someone/bolt"
NOWHERE = "0" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, an empty cache of this process, and pieces of 10 kB instead of 10 MB."""
    with running_hub() as hub:
        point_to(hub.address, monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
        yield hub


def point_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)


def saved_bolt(folder: Path, *, width: int = 32) -> Path:
    save_as_library(folder, width=width)
    return folder


@pytest.fixture
def bolt(tmp_path: Path) -> Path:
    return saved_bolt(tmp_path / "bolt")


def start(commit: str, name: str = NAME) -> HubStart:
    return HubStart(kind="hub", id=name, revision=commit)


def weights_asked(hub: Hub) -> list[str]:
    return [one for one in hub.asked if one.startswith("GET") and "safetensors" in one]


def test_a_model_is_downloaded_once_and_then_needs_no_hub(
    hub: Hub, bolt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bolt / "pytorch_model.bin").write_bytes(b"a pickle, which is never fetched")
    commit = hub.add(NAME, bolt)
    folder = fetch(start(commit))
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (bolt / name).read_bytes()
    assert not any("pytorch_model.bin" in one for one in hub.asked if "resolve" in one)
    fetch(start(commit))
    assert len(weights_asked(hub)) == 1
    del hub.commits[NAME]
    assert fetch(start(commit)) == folder
    point_to("http://127.0.0.1:9", monkeypatch)
    assert fetch(start(commit)) == folder


def test_a_download_that_breaks_off_goes_on_where_it_was(hub: Hub, bolt: Path) -> None:
    commit = hub.add(NAME, bolt)
    hub.cut = 150_000
    folder = fetch(start(commit))
    weights = bolt / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == weights.read_bytes()
    first = [int(one.partition(" from ")[2] or 0) for one in weights_asked(hub)]
    assert first == list(range(0, weights.stat().st_size, 150_000))


def test_a_download_that_stops_is_one_clear_line_and_keeps_whole_files(
    hub: Hub, bolt: Path
) -> None:
    commit = hub.add(NAME, bolt)
    hub.cut, hub.most = 20_000, 30_000
    with pytest.raises(CheckpointError, match=f"^{NAME} cannot be had from the hub") as found:
        fetch(start(commit))
    assert "\n" not in str(found.value)
    hub.cut = hub.most = None
    hub.asked.clear()
    folder = fetch(start(commit))
    assert (folder / "model.safetensors").stat().st_size > 30_000
    assert len(weights_asked(hub)) == 1
    assert not any("config.json" in one for one in hub.asked if one.startswith("GET"))


def test_what_the_hub_does_not_have_is_named(hub: Hub, bolt: Path) -> None:
    hub.add(NAME, bolt)
    with pytest.raises(CheckpointError, match=f"^{NAME} has no revision {NOWHERE} on the hub"):
        fetch(start(NOWHERE))
    with pytest.raises(CheckpointError, match=r"^someone/else is not on the hub, or is private"):
        fetch(start(NOWHERE, "someone/else"))
    with pytest.raises(CheckpointError, match=r"^someone/else is not on the hub, or is private"):
        commit_of("someone/else")


def test_a_hub_that_is_not_there_is_one_clear_line_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    point_to("http://127.0.0.1:9", monkeypatch)
    for ask in (lambda: commit_of(NAME), lambda: fetch(start(NOWHERE))):
        with pytest.raises(CheckpointError, match=r"the hub \(ConnectError\): go online once, or"):
            ask()
    assert capfd.readouterr().err == ""
    assert hub.asked == []


@pytest.fixture
def project(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(workspace.root)
    return workspace


def test_the_newest_commit_is_pinned_and_imported_though_a_newer_one_comes(
    hub: Hub, bolt: Path, project: Workspace, tmp_path: Path
) -> None:
    hub.add(NAME, saved_bolt(tmp_path / "old", width=12))
    pinned = hub.add(NAME, bolt)
    added = add_model(project.root, "bolt", NAME)
    assert added.told().startswith("bolt: chronos_bolt, 5 blocks")
    hub.add(NAME, saved_bolt(tmp_path / "new", width=20))
    params = load_params(project.root / "params.yaml")
    assert params.run.imports == {"bolt": "data/pretrained/none"}
    assert params.models["bolt"].start == start(pinned)
    start_stage.main(["--model", "bolt", "--into", "data/pretrained"])
    made = load_model(project.root / "data/pretrained/bolt")
    assert made.config.origin == f"{NAME}@{pinned[:8]}"
    from chronos import BaseChronosPipeline

    theirs = BaseChronosPipeline.from_pretrained(bolt).model.state_dict()
    ours = made.backbone.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    summary = StartSummary.model_validate_json(
        (project.root / "data/pretrained/bolt/start.json").read_text()
    )
    assert summary.parent is not None
    assert (summary.parent.id, summary.parent.revision) == (NAME, pinned)


def test_an_older_commit_can_be_named_and_may_lie_in_shards(
    hub: Hub, bolt: Path, project: Workspace, tmp_path: Path
) -> None:
    assert shard_checkpoint(bolt, 20_000) > 2
    old = hub.add(NAME, bolt)
    hub.add(NAME, saved_bolt(tmp_path / "new", width=20))
    add_model(project.root, "bolt", NAME, revision=old)
    params = load_params(project.root / "params.yaml")
    assert params.models["bolt"].start == start(old)
    assert len(weights_asked(hub)) > 2
    assert all(f"/resolve/{old}/" in one for one in weights_asked(hub))


@pytest.mark.parametrize("revision", [None, NOWHERE])
def test_without_a_hub_nothing_is_changed(
    hub: Hub, project: Workspace, monkeypatch: pytest.MonkeyPatch, revision: str | None
) -> None:
    point_to("http://127.0.0.1:9", monkeypatch)
    before = project.read("params.yaml")
    with pytest.raises(CheckpointError, match="go online once, or name a local folder"):
        add_model(project.root, "bolt", NAME, revision=revision)
    assert project.read("params.yaml") == before
    assert hub.asked == []


def test_a_model_of_pickles_only_is_refused(hub: Hub, bolt: Path, project: Workspace) -> None:
    (bolt / "model.safetensors").rename(bolt / "pytorch_model.bin")
    hub.add(NAME, bolt)
    before = project.read("params.yaml")
    with pytest.raises((CheckpointError, FlowError), match="safetensors"):
        add_model(project.root, "bolt", NAME)
    assert project.read("params.yaml") == before


def test_the_command_speaks_to_the_hub_that_the_environment_names(
    hub: Hub, bolt: Path, project: Workspace, tmp_path: Path
) -> None:
    commit = hub.add(NAME, bolt)
    places = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "add-model", "bolt", NAME],
        cwd=project.root,
        env=os.environ | places | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "added to params.yaml: bolt, bolt-tuned" in done.stdout
    assert commit in project.read("params.yaml")
