"""One command brings a person's data in, or leaves everything as it was."""

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import dvc
from flows.add_data import add_data, dataset_entry
from flows.errors import FlowError
from tasks.errors import DataError, ParamsError
from tasks.params import load_params
from tests import ROOT
from tests.flows.support import Workspace

ROWS = "".join(f"2024-01-{d:02d} {h:02d}:00,{h + d}\n" for d in range(1, 31) for h in range(24))
CONTENT = f"date,load\n{ROWS}"


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    comment = "datasets:  # what we have\n"
    workspace.write("params.yaml", workspace.read("params.yaml").replace("datasets:\n", comment))
    return workspace


def everything(root: Path) -> dict[str, bytes]:
    """All files but those of DVC and Prefect."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not {".dvc", ".state"} & set(path.relative_to(root).parts)
    }


def test_file_is_copied_tracked_and_entered_with_comments_kept(
    project: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "power.csv").write_text(CONTENT)
    options = {"freq": "h", "time_column": "date", "targets": []}
    profile, note = add_data(project.root, "power", str(tmp_path / "power.csv"), options)
    assert profile.rows == 720
    assert note == "data/raw/power.dvc"
    params = load_params(project.root / "params.yaml")
    assert params.run.datasets == ["demo", "power"]
    assert params.datasets["power"].time_column == "date"
    assert "# what we have" in project.read("params.yaml")
    assert project.read("data/raw/power/power.csv") == CONTENT
    assert not dvc.changed(project.root, "data/raw/power.dvc")


def test_a_refusal_names_the_file_that_was_given(project: Workspace, tmp_path: Path) -> None:
    given = tmp_path / "power.csv"
    given.write_text(CONTENT + "2024-02-01 00:00,much\n")
    with pytest.raises(DataError, match=f"^{given}, line 722, column 'load': must be a number"):
        add_data(project.root, "power", str(given), {"freq": "h"})


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("made", "power.csv", "data/raw/made is made by the stage make of dvc.yaml; choose anoth"),
        ("power", "ftp://example.org/x.csv", "only URLs with http or https are read; got ftp://"),
        ("far", "http://127.0.0.1:1/x.csv", "x.csv: cannot be fetched .*`fewlayers add-data far F"),
        ("bench", None, "bench: how a named entry is read stands in params.yaml; leave the opt"),
    ],
)
def test_what_cannot_be_added_is_told_why(
    project: Workspace, name: str, source: str | None, message: str
) -> None:
    project.write("dvc.yaml", "stages: {make: {cmd: 'true', outs: [data/raw/made]}}\n")
    with pytest.raises(FlowError, match=message):
        add_data(project.root, name, source, {"freq": "h"})


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("power", "date,load\n", DataError),
        ("power", CONTENT + "2024-02-01 00:00,much\n", DataError),
        ("../up", CONTENT, ParamsError),
        ("demo", CONTENT, FlowError),
        ("power", None, FlowError),
    ],
)
def test_refused_dataset_leaves_nothing_behind(
    project: Workspace, tmp_path: Path, name: str, content: str | None, error: type[Exception]
) -> None:
    if content is not None:
        (tmp_path / "power.csv").write_text(content)
    before = everything(project.root)
    with pytest.raises(error):
        add_data(project.root, name, str(tmp_path / "power.csv"), {"freq": "h"})
    assert everything(project.root) == before


def test_failure_after_tracking_leaves_nothing_behind(
    project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "power.csv").write_text(CONTENT)
    before = everything(project.root)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("flows.add_data.register", full)
    with pytest.raises(OSError, match="no space left"):
        add_data(project.root, "power", str(tmp_path / "power.csv"), {"freq": "h"})
    assert everything(project.root) == before
    assert "data/raw/power.dvc" not in {stage.name for stage in dvc.stage_graph(project.root)}


def test_named_entry_is_added_by_name_alone(
    project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256(CONTENT.encode()).hexdigest()
    entry = f"  bench: {{url: 'https://example.org/bench.csv', sha256: {sha256}, freq: h}}\nscales:"
    project.write("params.yaml", project.read("params.yaml").replace("scales:", entry))
    (tmp_path / "bench.csv.gz").write_bytes(gzip.compress(CONTENT.encode()))
    monkeypatch.setenv("FEWLAYERS_MIRROR", str(tmp_path))
    add_data(project.root, "bench", None, {})
    params = load_params(project.root / "params.yaml")
    assert params.run.datasets == ["demo", "bench"]
    assert (project.root / "data" / "raw" / "bench" / "bench.csv.gz").is_file()
    assert "# what we have" in project.read("params.yaml")


def test_unknown_name_without_a_file_lists_the_known(project: Workspace) -> None:
    with pytest.raises(FlowError, match=r"no entry 'etth1'; give a FILE or URL, or one of: none"):
        add_data(project.root, "etth1", None, {})


def test_option_with_a_bad_value_is_named() -> None:
    with pytest.raises(ParamsError, match=r"^--time-unit: .*; got 'minutes'$"):
        dataset_entry({"time_unit": "minutes", "freq": None})


def test_what_a_killed_add_data_left_is_named(project: Workspace, tmp_path: Path) -> None:
    (tmp_path / "power.csv").write_text(CONTENT)
    (project.root / "data/raw/power").mkdir()
    project.write("data/raw/power/power.csv", CONTENT)
    with pytest.raises(FlowError, match=r"remove it \(rm -r data/raw/power\) and add it again"):
        add_data(project.root, "power", str(tmp_path / "power.csv"), {"freq": "h"})


def test_a_url_with_a_password_is_refused_and_not_shown(project: Workspace) -> None:
    before = everything(project.root)
    with pytest.raises(
        ParamsError, match=r"must not hold a password, here http://joe:\*\*\*@"
    ) as one:
        add_data(project.root, "power", "http://joe:s3cret@127.0.0.1/x.csv", {"freq": "h"})
    assert "s3cret" not in str(one.value)
    assert everything(project.root) == before


def test_add_data_stopped_by_a_signal_leaves_nothing_behind(project: Workspace) -> None:
    before = everything(project.root)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # which never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/power.csv"
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "add-data", "power", url],
            cwd=project.root,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        while not (project.root / "data/raw/power").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=60) == 130
    assert everything(project.root) == before
