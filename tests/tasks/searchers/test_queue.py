"""Slots are claimed once, and those of dead processes come back."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from tasks.searchers import queue as module
from tasks.searchers.queue import Result, Slot, StudyQueue, is_running
from tasks.searchers.space import distributions, encode


def slot(number: int, unit: int) -> Slot:
    return Slot(
        number=number,
        unit=unit,
        source="test",
        params=encode((number % 4,), 4),
        distributions=distributions([1], 4),
    )


@pytest.fixture
def storage() -> InMemoryStorage:
    return InMemoryStorage()


@pytest.fixture
def queue(storage) -> StudyQueue:
    queue = StudyQueue.create(storage, "study")
    queue.add([slot(0, 0), slot(1, 0), slot(2, 2)])
    return queue


def sign(
    queue: StudyQueue, *, host: str, process: int, age: float = 0.0, younger: float = 0.0
) -> None:
    """Claims the first unit as another process."""
    queue.worker = (host, process, "other")
    unit = queue.claim()
    number = queue._id(unit[0])
    started = psutil.Process(process).create_time() if psutil.pid_exists(process) else 0.0
    queue.storage.set_trial_user_attr(
        number, module.WORKER, [host, process, "other", started - younger, time.time() - age]
    )


def numbers(unit) -> list[int]:
    return [trial.user_attrs["slot"] for trial in unit]


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_unit_is_claimed_once_and_whole(queue, storage):
    other = StudyQueue(storage, "study")
    assert numbers(queue.claim()) == [0, 1]
    assert numbers(other.claim()) == [2]
    assert queue.claim() is None
    assert other.claim() is None


def test_slots_are_added_once(queue):
    queue.add([slot(0, 0), slot(3, 3)])
    assert numbers(queue.trials()) == [0, 1, 2, 3]


def test_results_are_written_once(queue):
    unit = queue.claim()
    queue.finish(unit, [Result(0.5, 0.1, 7), Result(0.6, 0.1, 7)])
    queue.finish(unit, [Result(9.0, 9.0, 9), Result(9.0, 9.0, 9)])
    assert [trial.values for trial in queue.complete()] == [[0.5, 0.1], [0.6, 0.1]]
    assert queue.unfinished() == 1


@pytest.mark.parametrize(
    ("worker", "lost"),
    [
        ({"process": "dead"}, 1),
        ({"process": "own"}, 1),  # of an earlier search in this process
        ({"process": "parent"}, 0),
        ({"process": "parent", "younger": 60.0}, 1),  # its number is that of another one now
        ({"host": "elsewhere", "process": 1}, 0),
        ({"host": "elsewhere", "process": 1, "age": 2 * module.LEASE_SECONDS}, 1),
    ],
)
def test_units_of_dead_processes_are_queued_again(queue, storage, worker, lost):
    known = {"dead": dead_process, "own": os.getpid, "parent": os.getppid}
    made = known[worker["process"]]() if worker["process"] in known else worker["process"]
    leader = StudyQueue(storage, "study")
    sign(queue, **({"host": leader.worker[0]} | worker | {"process": made}))
    assert leader.release_lost() == lost
    if lost:
        assert numbers(leader.claim()) == [0, 1]
        assert len(leader.trials(TrialState.FAIL)) == 1


def test_an_unsigned_claim_is_given_up_after_a_while(queue, storage, monkeypatch):
    storage.set_trial_state_values(queue._id(queue.trials()[0]), TrialState.RUNNING)
    assert queue.release_lost() == 0
    monkeypatch.setattr(module, "SIGN_SECONDS", -1.0)
    assert queue.release_lost() == 1


def test_a_unit_is_claimed_only_when_all_its_slots_are_queued(storage):
    leader = StudyQueue.create(storage, "study")
    other, claimed = StudyQueue(storage, "study"), []

    def slots():
        for number in range(6):
            claimed.append(other.claim())  # before each slot is there
            yield slot(number, number - number % 3)

    queued = leader._queue

    def queue_and_claim(*arguments):
        queued(*arguments)
        claimed.append(other.claim())

    leader._queue = queue_and_claim
    leader.add(slots())
    assert [numbers(unit) for unit in claimed if unit] == [[3, 4, 5], [0, 1, 2]]


def test_who_signs_again_is_not_given_up(queue, storage):
    leader = StudyQueue(storage, "study")
    sign(queue, host="elsewhere", process=1, age=2 * module.LEASE_SECONDS)
    queue.renew(queue.trials(TrialState.RUNNING))
    assert leader.release_lost() == 0
    lost = queue.trials(TrialState.RUNNING)
    storage.set_trial_state_values(queue._id(lost[0]), TrialState.FAIL)
    queue.renew(lost)  # is told by the result, not here


def test_a_claim_that_is_given_up_before_it_is_signed_is_no_claim(queue, storage, monkeypatch):
    leader, signed = StudyQueue(storage, "study"), queue._sign
    monkeypatch.setattr(module, "SIGN_SECONDS", -1.0)

    def given_up_first(head):
        assert leader.release_lost() == 1
        signed(head)

    monkeypatch.setattr(queue, "_sign", given_up_first)
    assert queue.claim() is None
    monkeypatch.undo()
    assert numbers(queue.claim()) == [0, 1]


def test_what_was_given_up_cannot_be_written_any_more(queue, storage):
    unit = queue.claim()
    leader = StudyQueue(storage, "study")
    assert leader.release_lost() == 1  # another object in this process
    again = leader.claim()
    queue.finish(unit, [Result(0.5, 0.1, 7), Result(0.6, 0.1, 7)])
    leader.finish(again, [Result(0.5, 0.1, 7), Result(0.6, 0.1, 7)])
    assert numbers(leader.complete()) == [0, 1]


def test_a_zombie_does_not_run():
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.stdout.read()
    time.sleep(0.05)
    assert not is_running(process.pid, psutil.Process(process.pid).create_time())
    process.wait()
    own = psutil.Process().create_time()
    assert is_running(os.getpid(), own)
    assert not is_running(os.getpid(), own - 60)
