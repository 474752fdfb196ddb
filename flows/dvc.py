"""The stage graph and its state, as DVC sees them; the only importer of dvc.

Reading happens in this process under the repository's lock, one repository object per call.
Everything that writes is a `dvc` command in a child process, so that it can be stopped.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import networkx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows import processes
from flows.cache import Damage, check_objects
from flows.environment import base_environment
from flows.errors import FlowError, StageError
from tasks.artifacts.files import write_text

Outcome = Literal["Completed", "Restored"]

RESTORED: Final = "is cached - skipping run, checking out outputs"
# DVC says after every stage how to commit; in a run of many that only hides what the stages say
GIT_HINTS: Final = ("To track the changes", "\tgit add", "To enable auto staging", "\tdvc config")

_one_reader = threading.Lock()


@dataclass(frozen=True)
class Stage:
    """One node of the graph: a stage of dvc.yaml, or tracked data (`is_source`).

    `is_alone`: nothing may run beside it (`meta: {alone: true}` in dvc.yaml), as it measures times.
    """

    name: str
    parents: tuple[str, ...]
    is_source: bool
    is_alone: bool = False


@contextmanager
def _reading(root: Path) -> Iterator[Repo]:
    """A repository held under its lock, so that no half-written dvc.lock is met."""
    with _one_reader:
        try:
            repo = Repo(str(root), _wait_for_lock=True)
            try:
                with repo.lock:
                    yield repo
            finally:
                repo.close()
        except DvcException as error:
            raise FlowError(f"DVC cannot read {root}: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    cause = error.__cause__
    text = " ".join(re.sub(r"\[/?[a-z_ ]+\]", "", str(error)).split())
    return f"{text} ({_one_line(cause)})" if isinstance(cause, DvcException) else text


def stage_graph(root: Path) -> list[Stage]:
    """All stages of dvc.yaml and all tracked data, parents before children.

    Raises:
        FlowError: dvc.yaml or a .dvc file cannot be read, or the graph has a cycle.
    """
    with _reading(root) as repo:
        graph = repo.index.graph  # an edge leads from a stage to one it depends on
        ordered = networkx.lexicographical_topological_sort(graph.reverse(), key=_name)
        return [
            Stage(
                name=_name(node),
                parents=tuple(sorted(_name(parent) for parent in graph.successors(node))),
                is_source=not node.cmd,
                is_alone=bool((node.meta or {}).get("alone")),
            )
            for node in ordered
        ]


def _name(node: Any) -> str:
    """The stage's name as `dvc repro` takes it in the root, whatever the working folder."""
    path = Path(node.path).relative_to(node.repo.root_dir).as_posix()
    name = getattr(node, "name", None)
    if name is None:
        return path
    return str(name) if path == "dvc.yaml" else f"{path}:{name}"


def _find(repo: Repo, name: str) -> Any:
    for stage in repo.index.stages:
        if _name(stage) == name:
            return stage
    raise FlowError(f"{repo.root_dir}: DVC knows no stage {name!r}; `dvc stage list` shows all")


def _path(out: Any) -> str:
    return Path(out.fs_path).relative_to(out.repo.root_dir).as_posix()


def changed(root: Path, name: str) -> bool:
    """True when the stage's command, dependencies, parameters or outputs are not as recorded."""
    with _reading(root) as repo:
        return bool(_find(repo, name).changed())


def status(root: Path) -> dict[str, Any]:
    """What `dvc status` says; empty when everything is up to date."""
    with _reading(root) as repo:
        notes = {_name(stage): stage.status().values() for stage in repo.index.stages}
    return {name: list(values) for name, values in notes.items() if values}


def output_paths(root: Path) -> dict[str, str]:
    """Every tracked output's path, relative to the root, with the stage that makes it."""
    with _reading(root) as repo:
        return {_path(out): _name(out.stage) for out in repo.index.outs}


def missing_outputs(root: Path) -> list[str]:
    """Stages with a recorded output that is not in the workspace or not in the cache.

    What `track_text` records is git's to bring back.
    """
    with _reading(root) as repo:
        missing = {_name(out.stage) for out in repo.index.outs if _is_missing(out)}
    return sorted(missing)


def _is_missing(out: Any) -> bool:
    return bool(out.use_cache and out.hash_info and (not out.exists or out.changed_cache()))


def reproduce(
    root: Path, name: str, *, environment: Mapping[str, str], on_line: Callable[[str], None]
) -> Outcome:
    """Brings one stage up to date, without its parents; its output goes to `on_line`.

    Raises:
        StageError: with the stage's own `error: ...` line where it printed one.
        StoppedError: the run was stopped meanwhile.
    """
    seen: list[str] = []

    def relay(line: str) -> None:
        seen.append(line)
        del seen[:-200]
        if line and not line.startswith(GIT_HINTS):
            on_line(line)

    status = _command(
        root, "--wait-for-lock", "repro", "-s", name, environment=environment, on_line=relay
    )
    if status:
        _put_back(root, name, environment)
        raise StageError(processes.failure_reason(seen, status))
    return "Restored" if any(RESTORED in line for line in seen) else "Completed"


def _put_back(root: Path, name: str, environment: Mapping[str, str]) -> None:
    """Checks out the outputs of the stage's last good run, which DVC cleared before this one."""
    with _reading(root) as repo:
        recorded = any(out.hash_info for out in _find(repo, name).outs)
    if recorded:
        _command(root, "--wait-for-lock", "checkout", "--quiet", "--force", name,
                 environment=environment, on_line=_nowhere)  # fmt: skip


def _nowhere(_line: str) -> None:
    return


def _command(
    root: Path, *arguments: str, environment: Mapping[str, str], on_line: Callable[[str], None]
) -> int:
    command = [sys.executable, "-m", "dvc", *arguments]
    return processes.run(command, folder=root, environment=environment, on_line=on_line)


def _do(root: Path, *arguments: str) -> None:
    """Runs a short dvc command. Raises FlowError with DVC's own reason."""
    lines: list[str] = []
    status = _command(root, *arguments, environment=base_environment(), on_line=lines.append)
    if status:
        words = " ".join(argument for argument in arguments if not argument.startswith("--"))
        raise FlowError(f"dvc {words}: {processes.failure_reason(lines, status)}")


def prepare(root: Path, *, cache: Path | None = None) -> None:
    """Makes `root` a DVC workspace that works with and without git; DVC calls nobody from it.

    Args:
        root: the workspace; `.dvc` is made where it is missing.
        cache: a cache to share; without it the workspace's own.
    """
    if not (root / ".dvc" / "config").is_file():
        _do(root, "init", "--quiet", "--no-scm", "--force")
        _do(root, "config", "core.analytics", "false")
        _do(root, "config", "core.check_update", "false")
        _do(root, "config", "core.autostage", "false")
        if (root / ".git").exists():
            _do(root, "config", "--unset", "core.no_scm")
    has_git = (root / ".git").exists()
    if has_git == (_setting(root, "core", "no_scm") is True):  # git may come later
        _do(root, "config", "--local", "core.no_scm", str(not has_git).lower())
    if cache is not None and _setting(root, "cache", "dir") != str(cache):
        _do(root, "config", "--local", "cache.dir", str(cache))


def _setting(root: Path, section: str, name: str) -> object:
    from dvc.config import Config

    return Config(str(root / ".dvc"), validate=True).get(section, {}).get(name)


def track(root: Path, path: Path) -> None:
    """Puts a file or folder under DVC (`dvc add`). Raises FlowError."""
    _do(root, "--wait-for-lock", "add", str(path.relative_to(root)))


def track_text(root: Path, folder: Path) -> None:
    """Puts a folder of small text files under DVC and leaves the files to git. Raises FlowError.

    As DVC holds metrics: the `.dvc` file has the hash, and no copy lies in the cache.
    """
    record = folder.with_name(f"{folder.name}.dvc")
    name = record.relative_to(root).as_posix()
    write_text(record, f"outs:\n- path: {folder.name}\n  cache: false\n")
    _do(root, "--wait-for-lock", "commit", "--force", name)


def import_url(root: Path, url: str, path: Path) -> None:
    """Downloads a URL that DVC can update later (`dvc import-url`). Raises FlowError."""
    _do(root, "--wait-for-lock", "import-url", url, str(path.relative_to(root)))


def imports(root: Path) -> dict[str, str]:
    """The output's path of every `.dvc` file that `dvc import-url` made, by its name."""
    with _reading(root) as repo:
        found = [stage for stage in repo.index.stages if stage.is_import]
        return {_name(stage): _path(stage.outs[0]) for stage in found}


def update(root: Path, name: str) -> None:
    """Fetches what has changed at the source of an import. Raises FlowError."""
    _do(root, "--wait-for-lock", "update", name)


def has_remote(root: Path) -> bool:
    """True when a default remote is configured."""
    return bool(_setting(root, "core", "remote"))


def push(root: Path) -> None:
    """Uploads the outputs of the current dvc.lock to the default remote. Raises FlowError."""
    _do(root, "--wait-for-lock", "push")


def pull(root: Path, names: list[str]) -> None:
    """Downloads the recorded outputs of these stages and puts them in place. Raises FlowError."""
    _do(root, "--wait-for-lock", "pull", *names)


def damaged_objects(root: Path) -> list[Damage]:
    """Cache objects of current outputs whose bytes do not have their MD5 any more.

    DVC itself trusts its cache: it would check such an object out and call it up to date.
    """
    with _reading(root) as repo:
        odb = repo.cache.local
        wanted = {
            (out.hash_info.value, _path(out))
            for out in repo.index.outs
            if out.use_cache and out.hash_info and out.hash_info.value
        }
        base = Path(odb.path)
    return list(check_objects(base, wanted))


def has_whole_lock(root: Path) -> bool:
    """False when dvc.lock is torn: not YAML, or not what DVC's own schema asks of it."""
    from dvc.dvcfile import Lockfile

    repo = Repo(str(root), uninitialized=True)
    try:
        Lockfile(repo, str(root / "dvc.lock")).load()
    except DvcException:
        return False
    finally:
        repo.close()
    return True
