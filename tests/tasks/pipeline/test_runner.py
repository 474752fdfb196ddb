"""Stages as real processes: done stays done, changed runs again, pieces end in time."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ArtifactError
from tasks.pipeline.graph import read_graph
from tasks.pipeline.runner import (
    Outcome,
    Piece,
    StageFailedError,
    one_at_a_time,
    run_graph,
    stage_seconds,
)

WORK = '''
"""work.py NAME INPUT... OUTPUT: notes that it ran and writes its inputs to OUTPUT."""
import json, pathlib, signal, sys, time

name, *inputs, output = sys.argv[1:]
control = json.loads(pathlib.Path("control.json").read_text())
with open("ran.txt", "a") as file:
    file.write(name + "\\n")
if control.get("fail") == name:
    raise SystemExit("error: told to fail")
if control.get("deaf") == name:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if control.get("finish") == name:
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    while not asked:
        time.sleep(0.01)
pathlib.Path(output).write_text(name + "".join(pathlib.Path(i).read_text() for i in inputs))
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
LONG = Piece(budget_seconds=600, grace_seconds=0.1)


class Workspace:
    """The graph above in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "work.py").write_text(WORK)
        (root / "dvc.yaml").write_text(GRAPH)
        (root / "source.txt").write_text("!")
        self.params: dict[str, Any] = {"sides": {"a": "1", "b": "2"}}
        self.control()

    def control(self, **values: str) -> None:
        (self.root / "control.json").write_text(json.dumps(values))

    def run(self, piece: Piece = LONG) -> tuple[Outcome, list[str]]:
        """The outcome, and the stages that were started."""
        log = self.root / "ran.txt"
        log.unlink(missing_ok=True)
        graph = read_graph(self.root / "dvc.yaml", self.params)
        outcome = run_graph(self.root, graph, self.params, piece)
        return outcome, log.read_text().split() if log.exists() else []


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_all_stages_run_once_in_order(workspace: Workspace) -> None:
    outcome, ran = workspace.run()
    assert ran == ["first", "a", "b", "last"]
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
    assert workspace.run()[1] == ["first", "a", "b", "last"]


def test_a_failed_stage_is_named_and_what_was_done_stays(workspace: Workspace) -> None:
    workspace.control(fail="b")
    with pytest.raises(StageFailedError, match=r"^each@b: exit status 1; its reason stands above"):
        workspace.run()
    workspace.control()
    assert workspace.run()[1] == ["b", "last"]


def test_a_stage_at_work_when_the_piece_ends_is_killed_and_run_again(workspace: Workspace) -> None:
    workspace.run()
    workspace.params["sides"]["b"] = "3"
    workspace.control(deaf="b")
    outcome, ran = workspace.run(Piece(budget_seconds=2, grace_seconds=0.1))
    assert (outcome.stopped_at, outcome.done, ran) == ("each@b", ("first", "each@a"), ["b"])
    workspace.control()
    assert workspace.run()[1] == ["b", "last"]


def test_a_stage_that_ends_well_within_the_grace_is_done(workspace: Workspace) -> None:
    workspace.control(finish="last")
    outcome, _ = workspace.run(Piece(budget_seconds=33, grace_seconds=30))
    if outcome.stopped_at is not None:  # a slow machine did not come so far in three seconds
        outcome, _ = workspace.run(Piece(budget_seconds=33, grace_seconds=30))
    assert outcome.stopped_at is None
    workspace.control()
    assert workspace.run()[1] == []


def test_nothing_is_started_when_no_time_is_left(workspace: Workspace) -> None:
    outcome, ran = workspace.run(Piece(budget_seconds=1, grace_seconds=1))
    assert (outcome.stopped_at, ran) == ("first", [])


def test_a_missing_file_is_named(workspace: Workspace) -> None:
    (workspace.root / "source.txt").unlink()
    with pytest.raises(ArtifactError, match=r"source.txt: first needs it, no stage makes it"):
        workspace.run()


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    refused = pytest.raises(ArtifactError, match="another run is at work there")
    with one_at_a_time(tmp_path), refused, one_at_a_time(tmp_path):
        pass
