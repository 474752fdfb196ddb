"""Several processes on one study: the same trials as by one, none lost, none run twice."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tasks.pipeline.schedule import available_cores
from tasks.searchers.journal import open_journal
from tasks.searchers.queue import StudyQueue
from tasks.searchers.study import known_slots
from tasks.searchers.workers import Workers, is_led, measure_for, processes_of
from tasks.sections.run import Runtime
from tasks.sections.search import Search
from tests.tasks.searchers.four_processes import PROCESSES, gauge_of
from tests.tasks.searchers.synthetic import study_on

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "tests.tasks.searchers.four_processes", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=500)
    return path


@pytest.fixture(scope="module")
def alone() -> pd.DataFrame:
    return study_on(gauge_of())


def all_trials(folder: Path) -> list[FrozenTrial]:
    queue = StudyQueue(open_journal(folder / "journal.log"), "study")
    return queue.trials(*TrialState)


@pytest.mark.parametrize("name", ["whole", "killed"])
def test_four_processes_find_what_one_finds(folder, alone, name):
    written = pd.read_csv(folder / name / "trials.csv", dtype={"keep": str})
    pd.testing.assert_frame_equal(written, alone, check_dtype=False, check_exact=True)


@pytest.mark.parametrize("name", ["whole", "killed"])
def test_no_slot_is_lost_or_measured_twice(folder, alone, name):
    complete = [t for t in all_trials(folder / name) if t.state == TrialState.COMPLETE]
    assert Counter(t.user_attrs["slot"] for t in complete) == Counter(range(len(alone)))


@pytest.mark.parametrize("name", ["whole", "killed"])
def test_the_processes_share_the_work(folder, name):
    signed = [
        t.user_attrs["worker"][1] for t in all_trials(folder / name) if "worker" in t.user_attrs
    ]
    assert len(set(signed)) > PROCESSES / 2


def test_a_killed_process_costs_only_the_unit_it_had_in_hand(folder):
    assert (folder / "whole/statuses").read_text() == "0 0 0 0"
    assert (folder / "killed/statuses").read_text() == "0 -9 0 0"
    states = Counter(trial.state for trial in all_trials(folder / "killed"))
    assert states[TrialState.FAIL] == 1
    assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0


def test_a_worker_ends_with_the_search_and_with_its_leader():
    storage = InMemoryStorage()
    gauge = gauge_of()
    measure_for(gauge, storage, os.getppid() + 1, "search")  # a leader that is gone
    queue = StudyQueue.create(storage, "study")
    queue.add(known_slots(gauge.plan, gauge.options)[0])
    queue.close()
    measure_for(gauge, storage, None, "search")
    assert queue.unfinished() == 3
    assert is_led(os.getppid())


def test_workers_are_ended_when_the_search_fails():
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(ZeroDivisionError), Workers(sleep, 2) as workers:
        _ = 1 / 0
    assert all(process.returncode is not None for process in workers.processes)


def test_a_worker_that_ends_early_is_told_once(caplog):
    with Workers([sys.executable, "-c", "raise SystemExit(3)"], 1) as workers:
        workers.processes[0].wait()
        workers.watch()
        workers.watch()
    assert caplog.text.count("ended with status 3") == 1


def test_more_processes_than_cores_or_masks_are_warned_of(caplog):
    runtime = Runtime(search_workers=available_cores() + 1)
    assert processes_of(runtime, Search(batch=available_cores())) == available_cores() + 1
    assert "is more than this machine's" in caplog.text
    assert "is more than search.batch" in caplog.text
    caplog.clear()
    assert processes_of(Runtime(search_workers=1), Search(batch=1)) == 1
    assert not caplog.text
