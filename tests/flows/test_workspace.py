"""Preset workspaces: the same code, other parameters, a shared cache."""

from pathlib import Path

import pytest

from flows import dvc
from flows.errors import FlowError
from flows.workspace import bring_reports, make_workspace, one_run
from tasks.artifacts.folders import sync_folder
from tasks.errors import ParamsError
from tasks.params import load_params
from tests.flows.support import Workspace

PRESETS = """
presets:
  small:
    seed: 3
    models:
      tiny: {patch: 16}
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    workspace.write("params.yaml", workspace.read("params.yaml") + PRESETS)
    (workspace.root / "tasks").mkdir()
    workspace.write("tasks/train.py", "one = 1\n")
    dvc.track(workspace.root, workspace.root / "data" / "raw" / "demo")
    return workspace


def test_preset_workspace_has_merged_params_and_tracked_data(project: Workspace) -> None:
    root = make_workspace(project.root, "small")
    params = load_params(root / "params.yaml")
    assert (params.seed, params.models["tiny"].patch, params.presets) == (3, 16, {})
    assert (root / "data/raw/demo/demo.csv").read_text() == project.read("data/raw/demo/demo.csv")
    assert not dvc.changed(root, "data/raw/demo.dvc")
    assert str(project.root / ".dvc" / "cache") in (root / ".dvc" / "config.local").read_text()


def test_a_checkpoint_is_found_from_the_workspace(project: Workspace) -> None:
    start = "{kind: folder, path: checkpoints/tiny}"
    entry = f"      far: {{family: chronos_bolt, start: {start}}}\n"
    project.write("params.yaml", project.read("params.yaml") + entry)
    params = load_params(make_workspace(project.root, "small") / "params.yaml")
    assert params.models["far"].start.path == str(project.root / "checkpoints/tiny")


def test_project_does_not_see_the_preset_workspace(project: Workspace) -> None:
    before = dvc.stage_graph(project.root)
    make_workspace(project.root, "small")
    assert dvc.stage_graph(project.root) == before


def test_second_call_keeps_state_and_brings_changed_code(project: Workspace) -> None:
    root = make_workspace(project.root, "small")
    (root / "kept.txt").write_text("state")
    unchanged = (root / "params.yaml").read_bytes()
    project.write("tasks/train.py", "one = 2\n")
    project.write("tasks/new.py", "two = 2\n")
    make_workspace(project.root, "small")
    assert (root / "tasks/train.py").read_text() == "one = 2\n"
    assert (root / "tasks/new.py").exists()
    assert (root / "kept.txt").read_text() == "state"
    assert (root / "params.yaml").read_bytes() == unchanged


def test_unknown_preset_is_named(project: Workspace) -> None:
    with pytest.raises(ParamsError, match=r"there is no preset 'smal'; presets: small"):
        make_workspace(project.root, "smal")


def test_reports_of_a_preset_come_to_the_project(project: Workspace) -> None:
    root = make_workspace(project.root, "small")
    (root / "reports" / "figures").mkdir(parents=True)
    (root / "reports" / "index.html").write_text("page")
    assert bring_reports(project.root, root, "small") == project.root / "reports" / "small"
    assert project.read("reports/small/index.html") == "page"


def test_sync_deletes_what_the_source_lost(tmp_path: Path) -> None:
    for name in ("a/deep/x.py", "a/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    sync_folder(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a/deep/x.py").unlink()
    (tmp_path / "a/deep").rmdir()
    (tmp_path / "a/__pycache__").mkdir()
    stamp = (tmp_path / "b/y.py").stat().st_mtime_ns
    sync_folder(tmp_path / "a", tmp_path / "b")
    assert sorted(p.name for p in (tmp_path / "b").rglob("*")) == ["y.py"]
    assert (tmp_path / "b/y.py").stat().st_mtime_ns == stamp


def test_a_run_that_is_at_work_keeps_its_parameters(project: Workspace) -> None:
    root = make_workspace(project.root, "small")
    before = (root / "params.yaml").read_text()
    project.write("params.yaml", project.read("params.yaml").replace("seed: 3", "seed: 5"))
    with one_run(root), pytest.raises(FlowError, match="another run is at work in"):
        make_workspace(project.root, "small")
    assert (root / "params.yaml").read_text() == before
