"""Workspaces of presets: the same code and graph with other parameters, in `.state/presets/`.

A preset's workspace is a DVC workspace of its own with a plain params.yaml; it shares the
project's cache, keeps its state from run to run, and so resumes where it was stopped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from flows import dvc
from flows.environment import state_folder
from flows.errors import FlowError
from flows.imports import note_of
from tasks.artifacts.files import write_text
from tasks.artifacts.folders import copy_file, sync_folder
from tasks.data.fetch import raw_folder
from tasks.params import validate_params, yaml_text
from tasks.presets import from_elsewhere, load_preset

COPIED: Final = ("dvc.yaml", ".dvcignore", "data/pretrained/none/README.md")


def make_workspace(project: Path, preset: str) -> Path:
    """Makes or renews the workspace of a preset; returns its folder.

    Args:
        project: the folder with params.yaml, dvc.yaml and tasks/.
        preset: a name under `presets` in params.yaml.

    Raises:
        ParamsError: there is no such preset, or params.yaml with it is not valid.
        FlowError: the project has no dvc.yaml, DVC cannot be set up, or a run is at work there.
    """
    return renew_workspace(project, preset, load_preset(project / "params.yaml", preset))


def renew_workspace(project: Path, name: str, content: dict[str, Any]) -> Path:
    """The workspace `.state/presets/NAME` with these parameters. Raises as `make_workspace`."""
    params = validate_params(content, name)
    if not (project / "dvc.yaml").is_file():
        raise FlowError(f"{project}: has no dvc.yaml; run the command from the project's root")
    root = state_folder(project) / "presets" / name
    root.mkdir(parents=True, exist_ok=True)
    with one_run(root):  # nothing is changed under a run that is at work
        write_text(root / "params.yaml", yaml_text(from_elsewhere(content, project)))
        for file in COPIED:
            if (project / file).is_file():
                copy_file(project / file, root / file)
        sync_folder(project / "tasks", root / "tasks")
        dvc.prepare(root, cache=(project / ".dvc" / "cache").resolve())
        for dataset in [*params.run.datasets, *params.run.corpora]:
            _copy_raw(project, root, dataset)
    return root


@contextmanager
def one_run(root: Path) -> Iterator[None]:
    """Holds the workspace for one run. Raises FlowError when another run holds it."""
    path = state_folder(root) / "refresh.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FlowError(
            f"another run is at work in {root}; wait for it to end, or stop it, then run again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _copy_raw(project: Path, root: Path, dataset: str) -> None:
    """Copies a dataset's tracked raw files; those that stages make or URLs give come later."""
    source, target = raw_folder(project, dataset), raw_folder(root, dataset)
    note = note_of(project, dataset)
    if note is not None and source.is_dir():
        sync_folder(source, target)
        copy_file(note, root / note.relative_to(project))


def bring_reports(project: Path, root: Path, preset: str) -> Path:
    """Copies the workspace's reports to `reports/PRESET/` of the project; returns that folder."""
    target = project / "reports" / preset
    sync_folder(root / "reports", target)
    return target
