"""Files that a killed DVC leaves torn."""

import pytest

from flows import dvc
from flows.errors import FlowError
from flows.repair import keep_lock, mend
from tests.flows.support import Workspace


def test_whole_files_are_left_alone(workspace: Workspace) -> None:
    workspace.dvc("repro")
    before = workspace.read("dvc.lock")
    assert mend(workspace.root) == []
    assert workspace.read("dvc.lock") == before


def test_torn_rwlock_is_removed(workspace: Workspace) -> None:
    workspace.write(".dvc/tmp/rwlock", '{"read": {')
    with pytest.raises(FlowError, match=r"DVC cannot read .*JSON structure is corrupted"):
        dvc.changed(workspace.root, "first")
    assert len(mend(workspace.root)) == 1
    assert dvc.changed(workspace.root, "first")


@pytest.mark.parametrize("cut", [0, 10, 40, 100, 333])
def test_torn_lock_is_put_back(workspace: Workspace, cut: int) -> None:
    workspace.dvc("repro")
    keep_lock(workspace.root)
    whole = workspace.read("dvc.lock")
    workspace.write("dvc.lock", whole[:cut])
    mend(workspace.root)
    assert set(dvc.status(workspace.root)) <= {"first", "left", "last", "right@near", "right@far"}
    workspace.dvc("repro")
    assert dvc.status(workspace.root) == {}


def test_torn_lock_without_a_copy_is_made_again_from_the_run_cache(workspace: Workspace) -> None:
    workspace.dvc("repro")
    workspace.write("dvc.lock", workspace.read("dvc.lock")[:-20] + "\n  - {")
    assert "removed" in mend(workspace.root)[0]
    assert "is cached" in workspace.dvc("repro")
    assert dvc.status(workspace.root) == {}
