"""The flow against a real Prefect server and real DVC workspaces."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import dvc
from flows.errors import FlowError
from tasks.params import load_params
from tests.flows.support import SOURCE, STAGES, Workspace, run_flow

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]

Api = Callable[[str, dict[str, Any]], list[dict[str, Any]]]


def task_states(api: Api, state: Any) -> dict[str, str]:
    """Name and state of the task runs of a flow run, once the server has recorded all ends."""
    wanted = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    deadline = time.monotonic() + 30
    while True:
        rows = api("task_runs/filter", wanted)
        states = {row["name"]: row["state_name"] for row in rows if row["name"] in STAGES}
        if len(states) == len(STAGES) and not {"Pending", "Running"} & set(states.values()):
            return states
        assert time.monotonic() < deadline, states
        time.sleep(0.2)


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def test_what_most_wait_for_comes_first() -> None:
    from flows.refresh import by_urgency

    stages = [
        dvc.Stage("train", ("prepare",), is_source=False),
        dvc.Stage("prepare", (), is_source=False),
        dvc.Stage("mix", (), is_source=False),
        dvc.Stage("tune", ("pretrain", "prepare"), is_source=False),
        dvc.Stage("pretrain", ("mix",), is_source=False),
        dvc.Stage("report", ("train", "tune"), is_source=False),
    ]
    order = [stage.name for stage in by_urgency(stages)]
    assert order == ["prepare", "mix", "pretrain", "train", "tune", "report"]


def test_only_what_the_goals_need_runs(workspace: Workspace) -> None:
    from flows.refresh import refresh

    state = refresh(str(workspace.root), ["right"], return_state=True)
    assert state.message == "4 stages: 3 completed, 0 restored, 1 cached"
    made = {path.stem for path in workspace.root.glob("*.txt")}
    assert made == {"first", "right-near", "right-far"}
    assert set(dvc.status(workspace.root)) == {"left", "last"}


def test_a_goal_that_is_no_stage_is_refused(workspace: Workspace) -> None:
    from flows.refresh import refresh

    state = refresh(str(workspace.root), ["rihgt"], return_state=True)
    assert state.is_failed()
    assert state.message == (
        "goals: there is no stage 'rihgt' in dvc.yaml; stages: first, left, right, last"
    )


def test_flow_and_repro_are_interchangeable(workspace: Workspace, api: Api) -> None:
    first = run_flow(workspace)
    assert first.is_completed()
    assert task_states(api, first) == dict.fromkeys(STAGES - {SOURCE}, "Completed") | {
        SOURCE: "Cached"
    }
    assert dvc.status(workspace.root) == {}
    assert "didn't change" in workspace.dvc("repro", "last")

    workspace.write("data/raw/source.txt", "two\n")
    workspace.dvc("repro")
    second = run_flow(workspace)
    assert second.message == "6 stages: 0 completed, 0 restored, 6 cached"
    assert set(task_states(api, second).values()) == {"Cached"}


def test_changed_data_is_recorded_and_regenerates_what_depends_on_it(workspace: Workspace) -> None:
    run_flow(workspace)
    before = workspace.read(SOURCE)
    workspace.write("data/raw/source.txt", "two\n")
    assert run_flow(workspace).message == "6 stages: 6 completed, 0 restored, 0 cached"
    assert "two" in workspace.read("last.txt")
    assert workspace.read(SOURCE) != before
    workspace.write("data/raw/source.txt", "one\n")
    assert run_flow(workspace).message == "6 stages: 1 completed, 5 restored, 0 cached"
    assert dvc.status(workspace.root) == {}


def test_failed_stage_leaves_healthy_branches_finished(workspace: Workspace, api: Api) -> None:
    workspace.control(fail="left")
    state = run_flow(workspace)
    assert state.is_failed()
    assert state.message == (
        "left: the answer must be 42; got 41 in work.py; think again "
        "(1 stages that depend on it did not run)"
    )
    deadline = time.monotonic() + 30
    wanted = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    while True:
        rows = api("task_runs/filter", wanted)
        states = {row["name"]: row["state_name"] for row in rows if row["name"] in STAGES}
        if len(states) == len(STAGES) and states["last"] == "NotReady":
            break
        assert time.monotonic() < deadline, states
        time.sleep(0.2)
    assert states["right@near"] == states["right@far"] == "Completed"
    assert states["left"] == "Failed"
    workspace.control()
    assert run_flow(workspace).message == "6 stages: 2 completed, 0 restored, 4 cached"


def test_stage_logs_and_progress_reach_prefect(workspace: Workspace, api: Api) -> None:
    from flows.server import flush

    state = run_flow(workspace)
    flush()
    run = str(state.state_details.flow_run_id)

    def said() -> set[str]:
        rows = api("logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200})
        return {row["message"] for row in rows}

    wait_for(lambda: "first: 2/2 done" in said(), 20)
    rows = api("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    made = {row["key"]: row for row in rows}
    assert {"progress-first", "progress-right-near", "stages"} <= set(made)
    assert made["progress-first"]["data"] == 100.0


def test_results_and_plots_are_shown_as_artifacts(workspace: Workspace, api: Api) -> None:
    reports = workspace.root / "reports"
    (reports / "figures").mkdir(parents=True)
    (reports / "figures" / "cost.png").write_bytes(b"\x89PNG small")
    (reports / "index.html").write_text("<p>report</p>")
    (reports / "summary.json").write_text('[{"dataset": "demo", "model": "tiny", "verdict": "x"}]')
    run = str(run_flow(workspace).state_details.flow_run_id)
    rows = api("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    made = {row["key"]: row["data"] for row in rows}
    assert '"dataset": "demo"' in made["results"]
    assert "data:image/png;base64," in made["report"]
    assert "reports/index.html" in made["report"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_flow_leaves_nothing_running_and_a_rerun_completes(
    workspace: Workspace, number: signal.Signals
) -> None:
    workspace.control(sleep="left")
    process = workspace.start_flow()
    mark = workspace.root / "sleeping.pid"
    wait_for(mark.exists)
    below = psutil.Process(process.pid).children(recursive=True)
    sleeping = psutil.Process(int(mark.read_text() or wait_text(mark)))
    assert sleeping in below
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    _, alive = psutil.wait_procs(below, timeout=60)
    assert [p.cmdline() for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    workspace.control()
    assert run_flow(workspace).is_completed()
    assert dvc.status(workspace.root) == {}


def wait_text(path: Path) -> str:
    wait_for(lambda: path.read_text() != "", 10)
    return path.read_text()


def test_second_run_in_the_same_workspace_is_refused(workspace: Workspace) -> None:
    workspace.control(sleep="left", seconds=600)
    process = workspace.start_flow()
    try:
        wait_for((workspace.root / "sleeping.pid").exists)
        state = run_flow(workspace)
        assert state.is_failed()
        assert state.message.startswith(f"another run is at work in {workspace.root}; wait")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_damaged_cache_object_stops_the_run_before_any_stage(workspace: Workspace) -> None:
    run_flow(workspace)
    for path in (workspace.root / ".dvc/cache/files/md5").glob("*/*"):
        if path.read_text() == "firstone\n":
            path.chmod(0o644)
            path.write_text("firstonf\n")
            path.chmod(0o444)
    state = run_flow(workspace)
    assert state.is_failed()
    assert state.message.startswith(f"damaged cache object {workspace.root}/.dvc/cache/files/md5/")
    assert " of first.txt: its bytes do not have their MD5; delete that file" in state.message


def test_bad_delivery_leaves_lock_and_outputs_untouched(workspace: Workspace) -> None:
    raw = workspace.root / "data" / "raw" / "demo"
    rows = "".join(f"2024-01-{d:02d} {h:02d}:00,{h + d}\n" for d in range(1, 31) for h in range(24))
    (raw / "demo.csv").write_text(f"date,load\n{rows}")
    workspace.write("dvc.yaml", workspace.read("dvc.yaml").replace(
        "deps: [data/raw/source.txt]", "deps: [data/raw/source.txt, data/raw/demo]"))  # fmt: skip
    workspace.write("params.yaml", workspace.read("params.yaml").replace(
        "demo: {}", "demo: {freq: h, time_column: date}"))  # fmt: skip
    dvc.track(workspace.root, raw)
    assert run_flow(workspace).is_completed()
    names = ("dvc.lock", "data/raw/demo.dvc", "first.txt", "last.txt")
    before = [workspace.read(name) for name in names]

    (raw / "demo.csv").write_text("date,load\n2024-01-01 00:00,much\n")
    state = run_flow(workspace)
    assert state.is_failed()
    assert state.message.startswith("data/raw/demo.dvc: ")
    assert "demo.csv" in state.message
    assert [workspace.read(name) for name in names] == before


def test_dataset_without_files_and_source_is_named(workspace: Workspace) -> None:
    for path in (workspace.root / "data" / "raw" / "demo").iterdir():
        path.unlink()
    state = run_flow(workspace)
    assert state.is_failed()
    assert "dataset 'demo' has no files in data/raw/demo" in state.message


def test_mirrored_dataset_is_fetched_and_tracked(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "demo.csv").write_text("date,load\n")
    monkeypatch.setenv("FEWLAYERS_MIRROR", str(tmp_path / "mirror"))
    (workspace.root / "data" / "raw" / "demo" / "demo.csv").unlink()
    assert run_flow(workspace).is_completed()
    assert "data/raw/demo.dvc" in {stage.name for stage in dvc.stage_graph(workspace.root)}


def test_stages_times_threads_stay_within_the_cores(workspace: Workspace) -> None:
    from flows.refresh import stages_at_once

    params = load_params(workspace.root / "params.yaml")
    runtime = params.runtime.model_copy(update={"threads": 2, "parallel_stages": 4})
    params = params.model_copy(update={"runtime": runtime})
    assert [stages_at_once(params, cores) for cores in (2, 4, 7, 64)] == [1, 2, 3, 4]
    with pytest.raises(FlowError, match=r"runtime.threads must be at most the 1 cores .* got 2"):
        stages_at_once(params, 1)


def test_no_process_of_a_finished_flow_is_left(workspace: Workspace) -> None:
    process = workspace.start_flow()
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    left = subprocess.run(["pgrep", "-f", str(workspace.root)], capture_output=True, check=False)
    assert left.stdout == b""
