"""Imported data: each run looks at the source; a refused delivery leaves everything as it was."""

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from flows import dvc
from flows.add_data import add_data
from flows.imports import dataset_of, update_import
from tasks.errors import DataError
from tasks.params import load_params
from tests import ROOT
from tests.flows.support import Workspace, run_flow

HEAD = "time,load\n"
NOTE = "data/raw/power/power.csv.dvc"


def rows(count: int) -> str:
    return "".join(f"2024-01-{1 + n // 24:02d} {n % 24:02d}:00,{n % 24}\n" for n in range(count))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A file, and the address on 127.0.0.1 where it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "power.csv").write_text(HEAD + rows(500))
    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder / "power.csv", f"http://127.0.0.1:{server.server_address[1]}/power.csv"
        server.shutdown()


@pytest.fixture
def project(workspace: Workspace, source: tuple[Path, str]) -> Workspace:
    add_data(workspace.root, "power", source[1], {"freq": "h"})
    return workspace


def update(project: Workspace) -> bool:
    (name, path), *_ = dvc.imports(project.root).items()
    return update_import(project.root, name, path, load_params(project.root / "params.yaml"))


def test_a_url_is_imported_so_that_it_can_be_updated(project: Workspace) -> None:
    assert dvc.imports(project.root) == {NOTE: "data/raw/power/power.csv"}
    assert load_params(project.root / "params.yaml").run.datasets == ["demo", "power"]
    assert "http://127.0.0.1" in project.read(NOTE)


def test_nothing_new_changes_nothing(project: Workspace) -> None:
    before = project.read(NOTE)
    assert update(project) is False
    assert project.read(NOTE) == before


def test_a_good_delivery_is_taken(project: Workspace, source: tuple[Path, str]) -> None:
    source[0].write_text(HEAD + rows(600))
    assert update(project) is True
    assert project.read("data/raw/power/power.csv") == HEAD + rows(600)


def test_a_refused_delivery_leaves_data_and_note(
    project: Workspace, source: tuple[Path, str]
) -> None:
    before = project.read(NOTE)
    source[0].write_text(HEAD + rows(500).replace(",7\n", ",seven\n", 1))
    with pytest.raises(DataError, match="must be a number; got 'seven'"):
        update(project)
    assert project.read(NOTE) == before
    assert project.read("data/raw/power/power.csv") == HEAD + rows(500)


@pytest.mark.flow
@pytest.mark.usefixtures("prefect_server")
def test_the_flow_looks_at_the_source_and_refuses_a_bad_delivery(
    project: Workspace, source: tuple[Path, str]
) -> None:
    assert run_flow(project).is_completed()
    lock = project.read("dvc.lock")
    source[0].write_text("<html>not found</html>")
    state = run_flow(project)
    assert state.is_failed()
    assert "power.csv" in str(state.message)
    assert project.read("dvc.lock") == lock
    assert project.read("data/raw/power/power.csv") == HEAD + rows(500)


@pytest.mark.flow
@pytest.mark.usefixtures("prefect_server")
def test_a_source_that_is_gone_does_not_stop_a_run(
    project: Workspace, source: tuple[Path, str]
) -> None:
    source[0].unlink()
    assert run_flow(project).is_completed()
    assert project.read("data/raw/power/power.csv") == HEAD + rows(500)


@pytest.mark.parametrize("name", ["data/raw/power.dvc", NOTE, "data/raw/power"])
def test_the_dataset_is_the_folder_below_raw(name: str) -> None:
    assert dataset_of(name) == "power"


def test_git_sees_the_note_of_an_import_and_not_its_data(
    workspace: Workspace, source: tuple[Path, str]
) -> None:
    """With the project's own .gitignore: DVC writes no note where git would not see it."""
    for command in (["init", "--quiet"], ["config", "user.email", "x@y"]):
        subprocess.run(["git", *command], cwd=workspace.root, check=True)
    workspace.write(".gitignore", (ROOT / ".gitignore").read_text())
    shutil.rmtree(workspace.root / ".dvc")
    _, note = add_data(workspace.root, "power", source[1], {"freq": "h"})
    assert note == NOTE
    asked = ["git", "ls-files", "--others", "--exclude-standard", "data/raw/power"]
    seen = subprocess.run(asked, cwd=workspace.root, check=True, capture_output=True, text=True)
    assert seen.stdout.split() == [NOTE]
