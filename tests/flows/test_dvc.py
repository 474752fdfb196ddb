"""flows/dvc.py against real small DVC repositories."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.config import Config

from flows import dvc
from flows.cache import Damage
from flows.environment import stage_environment
from flows.errors import FlowError, StageError
from tests.flows.support import SOURCE, STAGES, Workspace, make_small_workspace

ENVIRONMENT = stage_environment(1)


def reproduce(workspace: Workspace, name: str) -> list[str]:
    lines: list[str] = []
    dvc.reproduce(workspace.root, name, environment=ENVIRONMENT, on_line=lines.append)
    return lines


def test_graph_equals_that_of_dvc(workspace: Workspace) -> None:
    stages = {stage.name: set(stage.parents) for stage in dvc.stage_graph(workspace.root)}
    said = workspace.dvc("dag", "--dot", "--full")
    edges = {tuple(line.strip(' ;"').split('" -> "')) for line in said.splitlines() if "->" in line}
    assert set(stages) == STAGES
    assert edges == {(parent, child) for child, parents in stages.items() for parent in parents}


def test_a_stage_may_ask_to_be_alone(workspace: Workspace) -> None:
    graph = workspace.read("dvc.yaml")
    workspace.write("dvc.yaml", graph.replace("  right:\n", "  right:\n    meta: {alone: true}\n"))
    alone = {stage.name for stage in dvc.stage_graph(workspace.root) if stage.is_alone}
    assert alone == {"right@near", "right@far"}


def test_graph_has_parents_before_children(workspace: Workspace) -> None:
    seen: set[str] = set()
    for stage in dvc.stage_graph(workspace.root):
        assert seen.issuperset(stage.parents)
        seen.add(stage.name)


def test_names_do_not_depend_on_the_working_folder(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    inside = dvc.stage_graph(workspace.root)
    monkeypatch.chdir("/")
    assert dvc.stage_graph(workspace.root) == inside


def test_reproduced_stage_is_unchanged_and_its_child_is_changed(workspace: Workspace) -> None:
    assert dvc.changed(workspace.root, "first")
    lines = reproduce(workspace, "first")
    assert "first: 2/2 done" in lines
    assert not dvc.changed(workspace.root, "first")
    assert dvc.changed(workspace.root, "left")


def test_a_stage_says_nothing_of_git(workspace: Workspace) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=workspace.root, check=True)
    workspace.dvc("config", "core.no_scm", "false")
    said = workspace.dvc("repro", "-s", "first")
    assert any(hint in said for hint in dvc.GIT_HINTS), "DVC's words have changed"
    workspace.write("params.yaml", workspace.read("params.yaml").replace("seed: 0", "seed: 1"))
    lines = reproduce(workspace, "first")
    assert "first: 2/2 done" in lines
    assert not any("git" in line or "core.autostage" in line for line in lines)


def test_return_to_earlier_inputs_restores_from_the_run_cache(workspace: Workspace) -> None:
    reproduce(workspace, "first")
    params = workspace.read("params.yaml")
    workspace.write("params.yaml", params.replace("seed: 0", "seed: 1"))
    reproduce(workspace, "first")
    workspace.write("params.yaml", params)
    outcome = dvc.reproduce(
        workspace.root, "first", environment=ENVIRONMENT, on_line=lambda _line: None
    )
    assert outcome == "Restored"


def test_failed_stage_gives_its_own_reason_and_keeps_its_last_outputs(workspace: Workspace) -> None:
    reproduce(workspace, "first")
    lock = workspace.read("dvc.lock")
    params = workspace.read("params.yaml")
    workspace.write("params.yaml", params.replace("seed: 0", "seed: 1"))
    workspace.control(fail="first")
    with pytest.raises(
        StageError, match=r"^the answer must be 42; got 41 in work.py; think again$"
    ):
        reproduce(workspace, "first")
    assert workspace.read("dvc.lock") == lock
    assert workspace.read("first.txt") == "firstone\n"


def test_status_is_empty_only_when_all_is_up_to_date(workspace: Workspace) -> None:
    assert set(dvc.status(workspace.root)) == STAGES - {SOURCE}
    workspace.dvc("repro")
    assert dvc.status(workspace.root) == {}


def test_unknown_stage_is_named(workspace: Workspace) -> None:
    with pytest.raises(FlowError, match="DVC knows no stage 'firts'"):
        dvc.changed(workspace.root, "firts")


def test_unreadable_graph_is_one_line(workspace: Workspace) -> None:
    workspace.write("dvc.yaml", "stages: {first: {cmd: 7}}\n")
    with pytest.raises(FlowError, match=r"^DVC cannot read .*dvc.yaml[^\n]*$"):
        dvc.stage_graph(workspace.root)


def test_damaged_cache_object_is_found(workspace: Workspace) -> None:
    workspace.dvc("repro")
    folder = workspace.root / "data" / "raw" / "folder"
    folder.mkdir()
    (folder / "part.csv").write_text("some rows")
    dvc.track(workspace.root, folder)
    assert dvc.damaged_objects(workspace.root) == []
    for content, output in (
        (b"firstone\n", "first.txt"),
        (b"some rows", "data/raw/folder/part.csv"),
    ):
        found = [p for p in (workspace.root / ".dvc/cache/files/md5").glob("*/*")
                 if p.read_bytes() == content]  # fmt: skip
        found[0].chmod(0o644)
        found[0].write_bytes(b"x" + content[1:])
        found[0].chmod(0o444)
        damage = dvc.damaged_objects(workspace.root)
        assert Damage(found[0], output) in damage
        assert "up to date" in workspace.dvc("status")


def test_remote_gives_back_what_the_cache_lost(workspace: Workspace, tmp_path: Path) -> None:
    assert not dvc.has_remote(workspace.root)
    workspace.dvc("remote", "add", "-d", "store", str(tmp_path / "store"))
    assert dvc.has_remote(workspace.root)
    workspace.dvc("repro")
    dvc.push(workspace.root)
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    (workspace.root / "last.txt").unlink()
    (workspace.root / "left.txt").unlink()
    missing = dvc.missing_outputs(workspace.root)
    assert set(missing) == STAGES
    dvc.pull(workspace.root, missing)
    assert dvc.status(workspace.root) == {}
    assert workspace.read("left.txt") == "leftfirstone\n"


def test_import_url_is_tracked(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "far.csv").write_text("far")
    dvc.import_url(workspace.root, str(tmp_path / "far.csv"), workspace.root / "data/raw/far.csv")
    assert "data/raw/far.csv.dvc" in {stage.name for stage in dvc.stage_graph(workspace.root)}


def test_failed_dvc_command_gives_its_reason(workspace: Workspace) -> None:
    with pytest.raises(FlowError, match=r"dvc add absent.csv: .*absent.csv.*does not exist"):
        dvc.track(workspace.root, workspace.root / "absent.csv")


def no_scm(root: Path) -> bool:
    """Whether DVC works there as if there were no git."""
    return bool(Config(str(root / ".dvc"), validate=True).get("core", {}).get("no_scm"))


@pytest.mark.parametrize("has_git", [True, False])
def test_workspace_is_prepared_with_and_without_git(tmp_path: Path, has_git: bool) -> None:
    if has_git:
        (tmp_path / ".git").mkdir()
        for name, text in (("HEAD", "ref: refs/heads/main\n"), ("config", "[core]\n")):
            (tmp_path / ".git" / name).write_text(text)
        for name in ("objects", "refs"):
            (tmp_path / ".git" / name).mkdir()
    dvc.prepare(tmp_path)
    dvc.prepare(tmp_path)
    assert dvc.stage_graph(tmp_path) == []
    shutil.rmtree(tmp_path / ".git", ignore_errors=True)
    dvc.prepare(tmp_path)
    assert dvc.stage_graph(tmp_path) == []
    assert no_scm(tmp_path) is True
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc.prepare(tmp_path)
    assert not no_scm(tmp_path)
    config = (tmp_path / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


def test_shared_cache_restores_in_a_second_workspace(workspace: Workspace, tmp_path: Path) -> None:
    workspace.dvc("repro")
    second = make_small_workspace(tmp_path / "second")
    dvc.prepare(second.root, cache=workspace.root / ".dvc" / "cache")
    second.dvc("add", "--quiet", "data/raw/source.txt")
    outcome = dvc.reproduce(
        second.root, "first", environment=ENVIRONMENT, on_line=lambda _line: None
    )
    assert outcome == "Restored"
    assert json.loads(second.read("control.json")) == {}
