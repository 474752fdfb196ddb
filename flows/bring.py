"""What a run needs before its stages and does after them: data, cache and remote, as tasks.

Only what touches the network is tried again.
"""

from pathlib import Path
from typing import Any, Final

from prefect import State, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import dvc
from flows.cache import Damage
from flows.errors import FlowError
from flows.imports import update_import
from tasks.data.fetch import NetworkError, datasets_to_fetch, fetch
from tasks.params import Params, load_params
from tasks.sections.data import Dataset

RETRY_SECONDS: Final = [2.0, 10.0, 30.0]

Runner = ThreadPoolTaskRunner[Any]


def bring_data(runner: Runner, root: Path, params: Params) -> None:
    """Checks the cache, then gets what is missing: from the remote, the mirror or by URL."""
    all_good([runner.submit(check_cache, {"root": str(root)})])
    if dvc.has_remote(root) and (missing := dvc.missing_outputs(root)):
        pulled = runner.submit(pull_missing, {"root": str(root), "names": missing})
        pulled.wait()
        if not pulled.state.is_completed():
            get_run_logger().warning("%s; what is missing will be made again", pulled.state.message)
    for name, path in dvc.imports(root).items():
        looked = runner.submit(update_data, {"root": str(root), "name": name, "path": path})
        looked.wait()
        all_good([looked])
    for name in datasets_to_fetch(root, params, dvc.output_paths(root)):
        entry = {"root": str(root), "name": name, "datasets": params.datasets}
        all_good([runner.submit(fetch_dataset, entry)])


def all_good(futures: list[Any]) -> None:
    """Waits for all, then raises FlowError with the first failure's message."""
    for future in futures:
        future.wait()
    for future in futures:
        if not future.state.is_completed():
            raise FlowError(future.state.message or "a preparation failed")


@task(name="check cache", cache_policy=NO_CACHE, persist_result=False)
def check_cache(root: str) -> State[Any]:
    """Re-hashes the cache objects of current outputs; fails on a damaged one."""
    damaged = dvc.damaged_objects(Path(root))
    if damaged:
        return Failed(message=damage_message(damaged))
    return Completed(message="every cached object has the bytes of its hash")


def damage_message(damaged: list[Damage]) -> str:
    """One line: which object, of which output, and what to do."""
    first, more = damaged[0], len(damaged) - 1
    others = f" (and {more} more)" if more else ""
    return (
        f"damaged cache object {first.object} of {first.output}{others}: its bytes do not have "
        "their MD5; delete that file and run again, or `dvc pull` it where a remote is configured"
    )


@task(name="pull", cache_policy=NO_CACHE, persist_result=False, retries=1,
      retry_delay_seconds=RETRY_SECONDS)  # fmt: skip
def pull_missing(root: str, names: list[str]) -> State[Any]:
    """Gets missing outputs from the default remote."""
    dvc.pull(Path(root), names)
    return Completed(message=f"{len(names)} stages pulled")


@task(name="push", cache_policy=NO_CACHE, persist_result=False, retries=3,
      retry_delay_seconds=RETRY_SECONDS)  # fmt: skip
def push_all(root: str) -> State[Any]:
    """Sends what the run made to the default remote."""
    dvc.push(Path(root))
    return Completed(message="everything is on the default remote")


def _may_help(_task: Any, _run: Any, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), NetworkError)


@task(name="fetch", task_run_name="fetch {name}", cache_policy=NO_CACHE, persist_result=False,
      retries=3, retry_delay_seconds=RETRY_SECONDS, retry_condition_fn=_may_help)  # fmt: skip
def fetch_dataset(root: str, name: str, datasets: dict[str, Dataset]) -> None:
    """Fetches a dataset's raw files, checks their sha256 and puts them under DVC."""
    folder = fetch(Path(root), name, datasets)
    dvc.track(Path(root), folder)
    get_run_logger().info("%s fetched to %s", name, folder)


@task(name="update", task_run_name="update {name}", cache_policy=NO_CACHE, persist_result=False)
def update_data(root: str, name: str, path: str) -> State[Any]:
    """Looks at the source of imported data; a new delivery is taken when the audit accepts it."""
    try:
        has_changed = update_import(Path(root), name, path, load_params(Path(root, "params.yaml")))
    except FlowError as error:
        get_run_logger().warning("%s; going on with the data that are here", error)
        return Completed(name="Unreachable", message=str(error))
    return Completed(message="a new delivery" if has_changed else "as it was")
