"""The flow `refresh`: every stage of dvc.yaml as one Prefect task, in parallel where it allows.

DVC says what depends on what and what is stale; this flow says when, and what follows a failure:
branches that do not depend on the failed stage finish, its dependants are NotReady, and the flow
ends Failed with one line that names the stage and why.
"""

import queue
import time
from collections.abc import Sequence
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import artifacts, dvc, processes
from flows.bring import Runner, bring_data, push_all
from flows.console import listener
from flows.environment import stage_environment
from flows.errors import FlowError
from flows.imports import dataset_of
from flows.progress import parse_progress
from flows.repair import keep_lock, mend
from flows.workspace import one_run
from tasks.data.fetch import raw_folder
from tasks.errors import FewlayersError
from tasks.params import Params, load_params
from tasks.pipeline.graph import needed_for
from tasks.pipeline.schedule import available_cores, stages_within, startable
from tasks.sections.data import Dataset

Future = PrefectFuture[Any]


@flow(name="refresh", persist_result=False)
def refresh(workspace: str = ".", goals: list[str] | None = None) -> State[Any]:
    """Brings a workspace up to date.

    Args:
        workspace: the folder with params.yaml and dvc.yaml.
        goals: kinds of stages, for example evaluate: they and what they need; None: everything.
    """
    root = Path(workspace).resolve()
    try:
        with one_run(root), processes.ended_by_signals():
            return _refresh(root, goals)
    except FewlayersError as error:
        return Failed(message=" ".join(str(error).split()))
    finally:
        processes.begin()


def _refresh(root: Path, goals: Sequence[str] | None) -> State[Any]:
    params = load_params(root / "params.yaml")
    workers = stages_at_once(params)
    if workers < params.runtime.parallel_stages:
        get_run_logger().warning(
            "runtime.parallel_stages %d x runtime.threads %d is more than this machine's cores; "
            "running %d at once", params.runtime.parallel_stages, params.runtime.threads, workers,
        )  # fmt: skip
    for line in mend(root):
        get_run_logger().warning("%s", line)
    dvc.prepare(root)
    keep_lock(root)
    runner: Runner = ThreadPoolTaskRunner(max_workers=workers)
    with runner:
        try:
            bring_data(runner, root, params)
            stages = dvc.stage_graph(root)
            wanted = stages if goals is None else towards(stages, goals)
            states = _run_graph(runner, root, wanted, params, workers)
            keep_lock(root)
            verdict = _verdict(states)
            if verdict.is_completed() and goals is None:  # else the report is of an earlier run
                artifacts.show_report(root)
            if verdict.is_completed() and dvc.has_remote(root):
                pushed = runner.submit(push_all, {"root": str(root)})
                pushed.wait()
                if not pushed.state.is_completed():
                    verdict = Failed(message=f"all is made, but not pushed: {pushed.state.message}")
        except BaseException:
            processes.stop_all()
            raise
    return verdict


def stages_at_once(params: Params, cores: int | None = None) -> int:
    """How many stages may run at the same time: stages x threads stay within the cores.

    Args:
        params: `runtime.parallel_stages` and `runtime.threads` are read.
        cores: cores of this machine; without it they are counted.

    Raises:
        FlowError: one stage alone asks for more threads than there are cores.
    """
    wanted, threads = params.runtime.parallel_stages, params.runtime.threads
    if cores is None:
        cores = available_cores()
    if threads > cores:
        raise FlowError(
            f"runtime.threads must be at most the {cores} cores of this machine; got {threads} "
            "in params.yaml"
        )
    return stages_within(cores, threads=threads, wanted=wanted)


def _run_graph(
    runner: Runner, root: Path, stages: list[dvc.Stage], params: Params, workers: int
) -> dict[str, State[Any]]:
    """Submits stages whose parents have ended, as many as run at once; returns the last states."""
    futures: dict[str, Future] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    waiting, done = by_urgency(stages), set[str]()
    rows: dict[str, dict[str, Any]] = {}
    while len(done) < len(stages):
        busy = futures.keys() - done
        running = [stage for stage in stages if stage.name in busy]
        ready = [stage for stage in waiting if done.issuperset(stage.parents)]
        for stage in startable(ready, running, workers):
            waiting.remove(stage)
            future = runner.submit(
                run_stage,
                {"name": stage.name, "root": str(root), "audited": _audited(stage, params),
                 "threads": params.runtime.threads},
                wait_for=[futures[parent] for parent in stage.parents],
            )  # fmt: skip
            futures[stage.name] = future
            future.add_done_callback(partial(_note, ended, stage.name))
        name = ended.get()
        done.add(name)
        futures[name].wait()
        state = futures[name].state
        rows[name] = {"stage": name, "state": state.name, "message": state.message}
        if state.name == "NotReady":
            listener().finished(name, "NotReady", 0.0, state.message or "")
    artifacts.show_stages([rows[stage.name] for stage in stages])
    return {stage.name: futures[stage.name].state for stage in stages}


def towards(stages: Sequence[dvc.Stage], goals: Sequence[str]) -> list[dvc.Stage]:
    """The stages and tracked data that some kinds of stages need. Raises ParamsError."""
    parents = {stage.name: stage.parents for stage in stages if not stage.is_source}
    needed = needed_for(parents, goals)
    return [stage for stage in stages if stage.name in needed]


def by_urgency(stages: Sequence[dvc.Stage]) -> list[dvc.Stage]:
    """The stages that most others wait for first (pretraining before a single pair's training).

    So that at the end no core waits for a long chain that began late. Of equals the first stays
    first.
    """
    parents = {stage.name: stage.parents for stage in stages}
    behind: dict[str, set[str]] = {stage.name: set() for stage in stages}
    for name in reversed(tuple(TopologicalSorter(parents).static_order())):
        for parent in parents[name]:
            behind[parent] |= {name} | behind[name]
    return sorted(stages, key=lambda stage: -len(behind[stage.name]))


def _note(ended: queue.SimpleQueue[str], name: str, _future: Future) -> None:
    ended.put(name)


def _audited(stage: dvc.Stage, params: Params) -> Dataset | None:
    """The entry of the dataset that a tracked raw folder holds."""
    return params.datasets.get(dataset_of(stage.name)) if stage.is_source else None


@task(name="stage", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_stage(name: str, root: str, audited: Dataset | None, threads: int) -> State[Any]:
    """Brings one stage up to date: Cached, Restored, Completed or Failed."""
    started = time.monotonic()
    try:
        state = _stage_state(name, Path(root), audited, threads)
    except FewlayersError as error:
        state = Failed(message=" ".join(str(error).split()))
    seconds = time.monotonic() - started
    listener().finished(name, state.name or "", seconds, state.message or "")
    return state


def _stage_state(name: str, root: Path, audited: Dataset | None, threads: int) -> State[Any]:
    if not dvc.changed(root, name):
        return Completed(name="Cached", message="up to date")
    listener().started(name)
    if audited is not None:
        _audit(root, name, audited)
    log, progress = get_run_logger(), artifacts.StageProgress(name)

    def relay(line: str) -> None:
        log.info("%s", line)
        listener().said(name, line)
        if (step := parse_progress(line)) is not None:
            progress.show(step)

    outcome = dvc.reproduce(root, name, environment=stage_environment(threads), on_line=relay)
    return Completed(name=outcome, message="reproduced")


def _audit(root: Path, name: str, dataset: Dataset) -> None:
    """Refuses a bad delivery before DVC records it. Raises DataError."""
    from tasks.data.prepared import audit

    short = dataset_of(name)
    audit(raw_folder(root, short), short, dataset, load_params(root / "params.yaml").windows)


def _verdict(states: dict[str, State[Any]]) -> State[Any]:
    failed = {name: state for name, state in states.items() if state.is_failed()}
    if not failed:
        counts = {name: 0 for name in ("Completed", "Restored", "Cached")}
        for state in states.values():
            counts[state.name or ""] = counts.get(state.name or "", 0) + 1
        told = ", ".join(f"{number} {name.lower()}" for name, number in counts.items())
        return Completed(message=f"{len(states)} stages: {told}")
    left = sum(state.name == "NotReady" for state in states.values())
    reasons = "; ".join(f"{name}: {state.message}" for name, state in failed.items())
    tail = f" ({left} stages that depend on it did not run)" if left else ""
    return Failed(message=f"{reasons}{tail}")
