"""The masks to measure, as waiting trials of one Optuna study from which processes take units.

Every mask to measure has a slot, its place in the search's order. A process claims a unit (the
slots that are measured together) by turning its first trial, which is queued last, from waiting to
running, which a storage lets only one process do. A claim whose process died is failed and its
slot queued again, so every slot ends with exactly one complete trial.
"""

import socket
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

SLOT, UNIT, SOURCE, WORKER, WINDOWS = "slot", "unit", "source", "worker", "windows"
CLOSED, COSTS = "closed", "costs"
SIGN_SECONDS = 5.0  # between a claim and the name of its process lie milliseconds
LEASE_SECONDS = 3600.0  # a process on another machine that does not sign for longer is given up
CLOCK_SECONDS = 5.0  # by which the start of a process may seem to move when the clock is set

Parameters = dict[str, float | int]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One mask to measure."""

    number: int  # place in the search's order
    unit: int  # the number of the first slot of those measured together
    source: str
    params: Parameters
    distributions: dict[str, BaseDistribution]
    system_attrs: dict[str, object] = field(default_factory=dict)  # what the sampler noted


@dataclass(frozen=True)
class Result:
    """What was measured."""

    error: float
    cost: float
    windows: int  # on which the error was measured; fewer than all: an estimate


class StudyQueue:
    """One process's view of the study."""

    def __init__(self, storage: BaseStorage, name: str) -> None:
        """Opens the study, which must be there. Raises KeyError."""
        self.storage = storage
        self.study_id = storage.get_study_id_from_name(name)
        process = psutil.Process()
        self.worker = (socket.gethostname(), process.pid, uuid.uuid4().hex)
        self._started = process.create_time()
        self._unsigned: dict[int, float] = {}  # by trial, when it was first seen claimed by nobody

    @classmethod
    def create(cls, storage: BaseStorage, name: str) -> "StudyQueue":
        """Opens the study, which is made when it is not there."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        optuna.create_study(
            study_name=name,
            storage=storage,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        return cls(storage, name)

    def costs(self, measured: Sequence[float]) -> list[float]:
        """The table of costs that all trials of the study share.

        The first caller's are kept, because measured latencies differ from run to run.
        """
        known = self.storage.get_study_user_attrs(self.study_id).get(COSTS)
        if known is None:
            known = list(measured)
            self.storage.set_study_user_attr(self.study_id, COSTS, known)
        return [float(cost) for cost in known]

    def close(self) -> None:
        """Says that nothing more will be queued, which ends the workers."""
        self.storage.set_study_user_attr(self.study_id, CLOSED, True)

    @property
    def is_closed(self) -> bool:
        """Whether the search has ended."""
        return bool(self.storage.get_study_user_attrs(self.study_id).get(CLOSED, False))

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in the order of their slots; without states those that did not fail."""
        wanted = states or (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        found = self.storage.get_all_trials(self.study_id, deepcopy=False, states=wanted)
        return sorted(found, key=lambda trial: int(trial.user_attrs[SLOT]))

    def complete(self) -> list[FrozenTrial]:
        """The measured trials in the order of their slots."""
        return self.trials(TrialState.COMPLETE)

    def unfinished(self) -> int:
        """How many slots are queued or being measured."""
        return len(self.trials(TrialState.WAITING, TrialState.RUNNING))

    def add(self, slots: Iterable[Slot]) -> None:
        """Queues the slots that are not there yet, of every unit the first one last.

        A unit can be claimed from then on, so nobody claims one before it is whole.
        """
        there = {int(trial.user_attrs[SLOT]) for trial in self.trials()}
        for slot in sorted(slots, key=lambda slot: -slot.number):
            if slot.number not in there:
                attrs = {SLOT: slot.number, UNIT: slot.unit, SOURCE: slot.source}
                self._queue(slot.params, slot.distributions, attrs, slot.system_attrs)

    def claim(self) -> list[FrozenTrial] | None:
        """The trials of a unit that now belongs to this process; None when none waits."""
        for head in self.trials(TrialState.WAITING):
            if head.user_attrs[SLOT] == head.user_attrs[UNIT] and self._take(head):
                return [
                    trial
                    for trial in self.trials()
                    if trial.user_attrs[UNIT] == head.user_attrs[UNIT]
                ]
        return None

    def renew(self, unit: Sequence[FrozenTrial]) -> None:
        """Signs a claimed unit again, so that other machines do not take this process for dead."""
        with suppress(UpdateFinishedTrialError):  # given up meanwhile; the result will tell
            self._sign(unit[0])

    def finish(self, unit: Sequence[FrozenTrial], results: Sequence[Result]) -> None:
        """Writes the results of a claimed unit, its first slot last."""
        for trial, result in reversed(list(zip(unit, results, strict=True))):
            try:
                number = self._id(trial)
                self.storage.set_trial_user_attr(number, WINDOWS, result.windows)
                values = [result.error, result.cost]
                self.storage.set_trial_state_values(number, TrialState.COMPLETE, values)
            except UpdateFinishedTrialError:
                continue  # measured before its process died, or given up and measured elsewhere

    def release_lost(self) -> int:
        """Queues the slots of dead processes again; returns how many."""
        lost = [trial for trial in self.trials(TrialState.RUNNING) if self._is_lost(trial)]
        for trial in lost:
            try:
                self.storage.set_trial_state_values(self._id(trial), TrialState.FAIL)
            except UpdateFinishedTrialError:
                continue
            attrs = {name: trial.user_attrs[name] for name in (SLOT, UNIT, SOURCE)}
            self._queue(trial.params, trial.distributions, attrs, trial.system_attrs)
        return len(lost)

    def _sign(self, head: FrozenTrial) -> None:
        """Says that this process is at work on the unit. Raises UpdateFinishedTrialError."""
        signature = [*self.worker, self._started, time.time()]
        self.storage.set_trial_user_attr(self._id(head), WORKER, signature)

    def _take(self, head: FrozenTrial) -> bool:
        try:
            if not self.storage.set_trial_state_values(self._id(head), TrialState.RUNNING):
                return False
            self._sign(head)
        except UpdateFinishedTrialError:  # the second time: given up before it was signed
            return False
        return True

    def _is_lost(self, trial: FrozenTrial) -> bool:
        signed = trial.user_attrs.get(WORKER)
        if signed is None:  # by this clock alone, as machines differ in theirs
            seen = self._unsigned.setdefault(trial.number, time.monotonic())
            return time.monotonic() - seen > SIGN_SECONDS
        host, process, _, started, since = signed
        if host != self.worker[0]:
            return time.time() - float(since) > LEASE_SECONDS
        if process == self.worker[1]:
            return bool(tuple(signed[:3]) != self.worker)
        return not is_running(int(process), float(started))

    def _queue(
        self,
        params: Parameters,
        distributions: dict[str, BaseDistribution],
        user_attrs: dict[str, object],
        system_attrs: dict[str, object],
    ) -> None:
        trial = create_trial(
            state=TrialState.WAITING,
            params=params,
            distributions=distributions,
            user_attrs=user_attrs,
            system_attrs=system_attrs,
        )
        self.storage.create_new_trial(self.study_id, template_trial=trial)

    def _id(self, trial: FrozenTrial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, trial.number)


def is_running(process: int, started: float) -> bool:
    """Whether a process of this machine lives; one that only waits to be buried does not.

    Args:
        process: its number, which after a restart may be that of another one.
        started: when it started, in seconds since 1970.
    """
    try:
        found = psutil.Process(process)
        is_same = abs(found.create_time() - started) < CLOCK_SECONDS
        return bool(is_same and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
