"""A preset in pieces with the real stages: without DVC and Prefect, stopped, killed and resumed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from tasks.bare import bring_raw, make_workspace
from tasks.params import load_params, read_yaml, yaml_text
from tasks.pipeline.graph import Graph
from tasks.pipeline.runner import one_at_a_time
from tasks.presets import load_preset, only_models
from tests import ROOT

KEPT = ("code", "generate", "prepare", "start", "train")
BLOCKED = """
import socket, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"prefect", "dvc", "flows"}:
            raise AssertionError(f"{name} is imported")
def no_network(*_):
    raise AssertionError("the network is asked")
sys.meta_path.insert(0, Blocked())
socket.socket.connect = no_network
from tasks.bare import main
main(["--preset", "smoke", "--budget-seconds", "0.001", "--grace-seconds", "0"])
"""


def make_project(root: Path, *, steps: int = 400) -> Path:
    """A project with our code and params.yaml, whose graph ends with training."""
    root.mkdir()
    (root / "tasks").symlink_to(ROOT / "tasks")
    note = "data/pretrained/none/README.md"
    (root / note).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / note, root / note)
    graph = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    stages = {name: group for name, group in graph["stages"].items() if name in KEPT}
    (root / "dvc.yaml").write_text(yaml_text({"stages": stages}))
    params = read_yaml(ROOT / "params.yaml")
    changed = {"steps": steps, "eval_every": 50, "sweep_rates": [1e-3, 2e-3], "sweep_steps": 5}
    params["presets"]["smoke"]["training"] |= changed
    (root / "params.yaml").write_text(yaml_text(params))
    return root


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.bare", "--preset", "smoke", *arguments],
        cwd=project,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workspace(project: Path) -> Path:
    return project / ".state/bare/smoke"


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def result(project: Path) -> tuple[bytes, bytes]:
    folder = workspace(project) / "models/full/demo/tsfm-pico"
    return (folder / "model.safetensors").read_bytes(), (folder / "training.json").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was run without a stop."""
    project = make_project(tmp_path_factory.mktemp("whole") / "project")
    process = start(project)
    process.communicate()
    assert (workspace(project) / ".state/done/train@demo-tsfm-pico.json").is_file()
    return project


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_training_it_goes_on_and_ends_the_same(
    tmp_path: Path, whole: Path, number: signal.Signals
) -> None:
    project = make_project(tmp_path / "project")
    state = workspace(project) / ".state/train/demo/tsfm-pico/state.json"
    first = start(project)
    wait_for(state, first)
    first.send_signal(number)
    first.communicate()
    assert not (workspace(project) / "models/full").exists() or not any(
        (workspace(project) / "models/full").rglob("training.json")
    )
    deadline = time.monotonic() + 60  # a stage whose parent was killed saves its state and ends
    while "demo" in _running(project) and time.monotonic() < deadline:
        time.sleep(0.1)
    second = start(project)
    output = second.communicate()[0]
    assert "train demo/tsfm-pico: resumed at step" in output
    assert "prepare@demo" not in output, "what was done is not done again"
    assert result(project) == result(whole)


def _running(project: Path) -> str:
    """The commands of processes at work in the workspace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == workspace(project).resolve():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return "\n".join(found)


@pytest.mark.slow
def test_a_piece_without_time_says_run_it_again(whole: Path, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    process = start(project, "--budget-seconds", "0.001", "--grace-seconds", "0")
    output = process.communicate()[0]
    assert process.returncode == 75
    assert "0 of 5 stages are done, the first that is not is code: run it again to go on" in output
    again = start(whole, "--budget-seconds", "0.001", "--grace-seconds", "0")
    assert "run it again" not in again.communicate()[0]


def test_neither_dvc_nor_prefect_nor_the_network_is_needed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 75, done.stderr


def test_the_grace_must_fit_into_the_budget(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    process = start(project, "--budget-seconds", "60")
    assert "--grace-seconds must be less than --budget-seconds" in process.communicate()[0]
    assert process.returncode == 2


def test_only_what_the_goals_need_is_run(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    process = start(project, "--goals", "prepare")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    done = {path.stem for path in (workspace(project) / ".state/done").glob("*.json")}
    assert done == {"code", "generate", "prepare@demo"}
    assert "report:" not in output, "none was made"
    refused = start(project, "--goals", "prepair")
    assert "there is no stage 'prepair' in dvc.yaml; stages: " in refused.communicate()[0]
    assert refused.returncode == 1


def test_only_the_models_that_are_named_are_run(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    whole = load_preset(project / "params.yaml", "gpu")
    content = only_models(whole, ["tsfm-base", "tsfm-tiny"], "--models")
    assert list(content["run"]["models"]) == ["tsfm-tiny", "tsfm-base"]
    assert len(whole["run"]["models"]) == 4
    make_workspace(project, tmp_path / "root", content)
    assert read_yaml(tmp_path / "root/params.yaml")["run"] == content["run"]
    refused = start(project, "--models", "tsfm-base")
    assert "--models, preset smoke: run.models has no 'tsfm-base'" in refused.communicate()[0]
    assert refused.returncode == 1


def test_a_run_that_is_at_work_keeps_its_parameters(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    root = workspace(project)
    root.mkdir(parents=True)
    (root / "params.yaml").write_text("as they were")
    with one_at_a_time(root):
        second = start(project)
        assert "another run is at work there" in second.communicate()[0]
    assert second.returncode == 1
    assert (root / "params.yaml").read_text() == "as they were"


def test_a_stage_ends_with_a_runner_that_is_killed_while_it_begins(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    process = start(project)
    while not (below := psutil.Process(process.pid).children()):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()  # the first stage imports for a second or more
    process.communicate()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive


def test_raw_files_are_those_that_the_project_has_now(tmp_path: Path) -> None:
    project, root = tmp_path / "project", tmp_path / "root"
    (project / "data/raw/demo").mkdir(parents=True)
    (project / "data/raw/demo/a.csv").write_text("old")
    params = load_params(ROOT / "params.yaml")
    for text in ("old", "new"):
        (project / "data/raw/demo/a.csv").write_text(text)
        (root / "data/raw/demo").mkdir(parents=True, exist_ok=True)
        (root / "data/raw/demo/torn.csv").write_text("of a run that was killed")
        bring_raw(project, root, params, Graph(stages=(), parents={}))
        found = {path.name: path.read_text() for path in (root / "data/raw/demo").iterdir()}
        assert found == {"a.csv": text}
