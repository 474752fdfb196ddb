"""Stages as real processes: at once, done stays done, changed runs again, pieces end in time."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.errors import ArtifactError, ParamsError
from tasks.pipeline.done import stage_seconds
from tasks.pipeline.graph import read_graph
from tasks.pipeline.runner import Outcome, Piece, StageFailedError, one_at_a_time, run_graph
from tasks.pipeline.schedule import available_cores

WORK = '''
"""work.py NAME INPUT... OUTPUT: notes when it ran and writes its inputs to OUTPUT."""
import json, os, pathlib, signal, sys, time

name, *inputs, output = sys.argv[1:]
control = json.loads(pathlib.Path("control.json").read_text())

def note(what):
    with open("ran.txt", "a") as file:
        file.write(f"{what} {name}\\n")

def wait(path):
    end = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > end:
            raise SystemExit(f"error: {path} did not come")
        time.sleep(0.005)

asked = []
if name in control.get("finish", []):
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
if name in control.get("deaf", []):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if not child:
        time.sleep(600)
    pathlib.Path(f"child-{name}").write_text(str(child))
note("start")
pathlib.Path(f"at-{name}").write_text(str(os.getpid()))
if name in control.get("meet", []):
    for other in control["meet"]:
        wait(pathlib.Path(f"at-{other}"))
if name in control.get("fail", []):
    raise SystemExit("error: told to fail")
if name in control.get("deaf", []) + control.get("sleep", []):
    time.sleep(600)
while name in control.get("finish", []) and not asked:
    time.sleep(0.005)
if name not in control.get("forget", []):
    text = name + "".join(pathlib.Path(i).read_text() for i in inputs)
    pathlib.Path(output).write_text(text)
pathlib.Path(f"threads-{name}").write_text(os.environ["OMP_NUM_THREADS"])
note("end")
'''
GRAPH = """
stages:
  first: {cmd: python work.py first source.txt first.txt, deps: [source.txt], outs: [first.txt]}
  each:
    foreach: ${sides}
    do:
      cmd: python work.py ${key} first.txt each-${key}.txt
      deps: [first.txt]
      params: ["sides.${key}"]
      outs: ["each-${key}.txt"]
  last: {cmd: python work.py last each-a.txt each-b.txt last.txt, deps: [each-a.txt, each-b.txt],
         outs: [last.txt]}
"""
ALONE = """
stages:
  time-1: {cmd: python work.py time-1 time-1.txt, outs: [time-1.txt], meta: {alone: true}}
  time-2: {cmd: python work.py time-2 time-2.txt, outs: [time-2.txt], meta: {alone: true}}
  work-1: {cmd: python work.py work-1 work-1.txt, outs: [work-1.txt]}
  work-2: {cmd: python work.py work-2 work-2.txt, outs: [work-2.txt]}
"""
CHAINS = """
stages:
  prepare-1: {cmd: python work.py prepare-1 p1, outs: [p1]}
  prepare-2: {cmd: python work.py prepare-2 p2, outs: [p2]}
  train-1: {cmd: python work.py train-1 p1 t1, deps: [p1], outs: [t1]}
  train-2: {cmd: python work.py train-2 p2 t2, deps: [p2], outs: [t2]}
"""
LONG = Piece(budget_seconds=600, grace_seconds=20)


class Workspace:
    """The graph above in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "work.py").write_text(WORK)
        (root / "dvc.yaml").write_text(GRAPH)
        (root / "source.txt").write_text("!")
        self.params: dict[str, Any] = {"sides": {"a": "1", "b": "2"}}
        self.control()

    def control(self, **names: list[str]) -> None:
        (self.root / "control.json").write_text(json.dumps(names))

    def are_at_work(self, *names: str) -> bool:
        return all((self.root / f"at-{name}").exists() for name in names)

    def run(
        self, piece: Piece = LONG, clock: Callable[[], float] = time.monotonic
    ) -> tuple[Outcome, list[str]]:
        """The outcome, and the stages that were started, in the order in which they did."""
        for note in (*self.root.glob("at-*"), *self.root.glob("ran.txt")):
            note.unlink()
        graph = read_graph(self.root / "dvc.yaml", self.params)
        outcome = run_graph(self.root, graph, self.params, piece, clock=clock)
        return outcome, [name for what, name in self.events() if what == "start"]

    def run_until_at_work(self, *names: str, grace_seconds: float) -> Outcome:
        """The outcome of a piece whose grace begins when these stages are at work."""
        piece = Piece(budget_seconds=600, grace_seconds=grace_seconds)
        return self.run(piece, lambda: 1e6 if self.are_at_work(*names) else 0.0)[0]

    def events(self) -> list[tuple[str, str]]:
        """`start` and `end` of stages, as they came."""
        log = self.root / "ran.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(what, name) for what, name in (line.split() for line in lines)]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_all_stages_run_once_parents_first(workspace: Workspace) -> None:
    outcome, ran = workspace.run()
    assert (ran[0], set(ran[1:3]), ran[3:]) == ("first", {"a", "b"}, ["last"])
    assert outcome == Outcome(("first", "each@a", "each@b", "last"), None)
    assert (workspace.root / "last.txt").read_text() == "lastafirst!bfirst!"
    assert workspace.run()[1] == []
    graph = read_graph(workspace.root / "dvc.yaml", workspace.params)
    assert set(stage_seconds(workspace.root, graph)) == set(outcome.done)


def test_what_changed_and_what_follows_from_it_runs_again(workspace: Workspace) -> None:
    workspace.run()
    workspace.params["sides"]["b"] = "3"
    assert workspace.run()[1] == ["b", "last"]
    (workspace.root / "each-a.txt").unlink()
    assert workspace.run()[1] == ["a"]
    (workspace.root / "source.txt").write_text("?")
    assert sorted(workspace.run()[1]) == ["a", "b", "first", "last"]


def test_two_stages_run_at_once(workspace: Workspace) -> None:
    workspace.control(meet=["a", "b"])
    assert workspace.run()[0].stopped_at is None


def test_a_stage_that_must_be_alone_runs_beside_none_when_no_other_can(
    workspace: Workspace,
) -> None:
    (workspace.root / "dvc.yaml").write_text(ALONE)
    workspace.control(meet=["work-1", "work-2"])
    workspace.run()
    events = workspace.events()
    assert {name for _, name in events[:4]} == {"work-1", "work-2"}
    times = ["time-1", "time-2"]
    assert events[4:] == [(what, name) for name in times for what in ("start", "end")]


def test_one_chain_is_finished_before_the_next_is_begun(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(CHAINS)
    workspace.params["runtime"] = {"parallel_stages": 1}
    assert workspace.run()[1] == ["prepare-1", "train-1", "prepare-2", "train-2"]


def test_stages_times_threads_stay_within_the_cores(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    cores = available_cores()
    workspace.params["runtime"] = {"threads": cores, "parallel_stages": 2}
    caplog.set_level(logging.INFO)
    workspace.run()
    sides = [event for event in workspace.events() if event[1] in {"a", "b"}]
    assert sides == [("start", "a"), ("end", "a"), ("start", "b"), ("end", "b")]
    assert (workspace.root / "threads-a").read_text() == str(cores)
    assert f"2 x runtime.threads {cores} is more than the {cores} cores; running 1" in caplog.text


def test_a_failed_stage_is_named_and_the_other_goes_on_to_its_end(workspace: Workspace) -> None:
    workspace.control(fail=["a"])
    workspace.params["runtime"] = {"parallel_stages": 1}  # so that b is begun after the failure
    told = r"^each@a: exit status 1; its reason stands above; not run because of that: last$"
    with pytest.raises(StageFailedError, match=told):
        workspace.run()
    workspace.control()
    assert workspace.run()[1] == ["a", "last"]


def test_a_failure_stops_none_that_is_at_work_and_all_failures_are_named(
    workspace: Workspace,
) -> None:
    workspace.control(meet=["a", "b"], fail=["a"], forget=["b"])
    with pytest.raises(StageFailedError) as failure:
        workspace.run()
    assert ("end", "b") in workspace.events()
    for told in ("each@a: exit status 1;", "each@b: ended without having made each-b.txt;"):
        assert told in str(failure.value)
    assert str(failure.value).endswith("; not run because of that: last")


def test_a_failure_is_told_when_the_piece_ends(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    workspace.control(fail=["a"], sleep=["b"])
    with pytest.raises(StageFailedError, match=r"^each@a: exit status 1; .*run .*: last$"):
        workspace.run(LONG, lambda: 1e6 if "each@a: exit status" in caplog.text else 0.0)


def test_stages_at_work_when_the_piece_ends_are_stopped_or_end_well(workspace: Workspace) -> None:
    workspace.control(finish=["b"], sleep=["a"])
    outcome = workspace.run_until_at_work("a", "b", grace_seconds=20)
    assert outcome == Outcome(("first", "each@b"), "each@a")
    workspace.control()
    assert workspace.run()[1] == ["a", "last"]


def test_stages_that_do_not_stop_are_killed_with_all_below_and_run_again(
    workspace: Workspace,
) -> None:
    workspace.control(deaf=["a", "b"])
    outcome = workspace.run_until_at_work("a", "b", grace_seconds=0.1)
    assert outcome == Outcome(("first",), "each@a")
    assert_ended(workspace, "at-a", "at-b", "child-a", "child-b")
    workspace.control()
    assert set(workspace.run()[1]) == {"a", "b", "last"}


def test_an_interrupt_stops_all_stages(workspace: Workspace) -> None:
    workspace.control(deaf=["a"], sleep=["b"])

    def clock() -> float:
        if workspace.are_at_work("a", "b"):
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        workspace.run(Piece(budget_seconds=600, grace_seconds=0.1), clock)
    assert_ended(workspace, "at-a", "at-b", "child-a")


def assert_ended(workspace: Workspace, *notes: str) -> None:
    for number in [int((workspace.root / note).read_text()) for note in notes]:
        try:
            process = psutil.Process(number)
            if process.status() != psutil.STATUS_ZOMBIE:
                process.wait(5)
        except psutil.NoSuchProcess:
            continue


def test_nothing_is_started_when_no_time_is_left(workspace: Workspace) -> None:
    outcome, ran = workspace.run(Piece(budget_seconds=1, grace_seconds=1))
    assert (outcome.stopped_at, ran) == ("first", [])


def test_a_missing_file_is_named(workspace: Workspace) -> None:
    (workspace.root / "source.txt").unlink()
    with pytest.raises(ArtifactError, match=r"source.txt: first needs it, no stage makes it"):
        workspace.run()


def test_a_command_that_is_not_python_is_refused(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").write_text(GRAPH.replace("python work.py last", "sh last"))
    refused = "last: its command must start with python; got 'sh'"
    with pytest.raises(ParamsError, match=refused):
        workspace.run()
    assert workspace.events() == [], "before anything is started"


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    refused = pytest.raises(ArtifactError, match="another run is at work there")
    with one_at_a_time(tmp_path), refused, one_at_a_time(tmp_path):
        pass
