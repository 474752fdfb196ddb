"""A default remote: a run sends what it made, and a fresh copy gets it back instead of running."""

import importlib
import shutil
from pathlib import Path

import pytest

from flows import dvc
from tests.flows.support import Workspace, run_flow

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


def test_a_run_pushes_and_a_copy_without_cache_pulls(workspace: Workspace, tmp_path: Path) -> None:
    store = tmp_path / "store"
    workspace.dvc("remote", "add", "-d", "store", str(store))
    assert run_flow(workspace).is_completed()
    assert len(list(store.rglob("files/md5/??/*"))) >= len(dvc.output_paths(workspace.root)) - 1

    outputs = {name: workspace.read(name) for name in ("first.txt", "left.txt", "last.txt")}
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    for name in outputs:
        (workspace.root / name).unlink()
    workspace.control(fail="left")  # running the stage again would fail
    assert run_flow(workspace).is_completed()
    assert {name: workspace.read(name) for name in outputs} == outputs


def test_a_run_whose_push_fails_says_that_all_is_made(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").write_text("a file, where a folder is wanted")
    workspace.dvc("remote", "add", "-d", "store", str(tmp_path / "store"))
    module = importlib.import_module("flows.refresh")
    monkeypatch.setattr(module, "push_all", module.push_all.with_options(retries=0))
    state = run_flow(workspace)
    assert state.is_failed()
    assert state.message.startswith("all is made, but not pushed: ")
    assert "dvc push: " in state.message
    assert workspace.read("last.txt").startswith("last")


def test_a_remote_that_lost_its_objects_is_no_failure(workspace: Workspace, tmp_path: Path) -> None:
    store = tmp_path / "store"
    workspace.dvc("remote", "add", "-d", "store", str(store))
    assert run_flow(workspace).is_completed()
    shutil.rmtree(store)
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    (workspace.root / "last.txt").unlink()
    assert run_flow(workspace).is_completed()
    assert workspace.read("last.txt").startswith("last")
