"""Workspaces of presets: the same code and graph with other parameters, in `.state/presets/`.

A preset's workspace is a DVC workspace of its own with a plain params.yaml; it shares the
project's cache, keeps its state from run to run, and so resumes where it was stopped.
"""

import filecmp
import shutil
from pathlib import Path
from typing import Any, Final

from flows import dvc
from flows.environment import state_folder
from flows.errors import FlowError
from tasks.artifacts.files import write_text
from tasks.data.fetch import raw_folder
from tasks.params import load_preset, validate_params, yaml_text

COPIED: Final = ("dvc.yaml", ".dvcignore", "data/pretrained/none/README.md")
SKIPPED: Final = frozenset({"__pycache__"})


def make_workspace(project: Path, preset: str) -> Path:
    """Makes or renews the workspace of a preset; returns its folder.

    Args:
        project: the folder with params.yaml, dvc.yaml and tasks/.
        preset: a name under `presets` in params.yaml.

    Raises:
        ParamsError: there is no such preset, or params.yaml with it is not valid.
        FlowError: the project has no dvc.yaml, or DVC cannot be set up.
    """
    return renew_workspace(project, preset, load_preset(project / "params.yaml", preset))


def renew_workspace(project: Path, name: str, content: dict[str, Any]) -> Path:
    """The workspace `.state/presets/NAME` with these parameters. Raises as `make_workspace`."""
    params = validate_params(content, name)
    if not (project / "dvc.yaml").is_file():
        raise FlowError(f"{project}: has no dvc.yaml; run the command from the project's root")
    root = state_folder(project) / "presets" / name
    root.mkdir(parents=True, exist_ok=True)
    write_text(root / "params.yaml", yaml_text(content))
    for file in COPIED:
        if (project / file).is_file():
            _copy_file(project / file, root / file)
    sync_folder(project / "tasks", root / "tasks")
    dvc.prepare(root, cache=(project / ".dvc" / "cache").resolve())
    for dataset in [*params.run.datasets, *params.run.corpora]:
        _copy_raw(project, root, dataset)
    return root


def _copy_raw(project: Path, root: Path, dataset: str) -> None:
    """Copies a dataset's tracked raw files; those that stages make or URLs give come later."""
    source, target = raw_folder(project, dataset), raw_folder(root, dataset)
    note = source.with_name(f"{dataset}.dvc")
    if note.is_file() and source.is_dir():
        sync_folder(source, target)
        _copy_file(note, target.with_name(note.name))
    elif any(source.glob("*.dvc")):  # imported: the note lies in the folder
        sync_folder(source, target)


def sync_folder(source: Path, target: Path) -> None:
    """Makes `target` equal `source`: copies what differs in content, deletes what is not there."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = {child.name for child in source.iterdir() if child.name not in SKIPPED}
    for child in target.iterdir():
        if child.name in wanted or child.name in SKIPPED:
            continue
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
    for name in sorted(wanted):
        if (source / name).is_dir():
            sync_folder(source / name, target / name)
        else:
            _copy_file(source / name, target / name)


def _copy_file(source: Path, target: Path) -> None:
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


def bring_reports(project: Path, root: Path, preset: str) -> Path:
    """Copies the workspace's reports to `reports/PRESET/` of the project; returns that folder."""
    target = project / "reports" / preset
    sync_folder(root / "reports", target)
    return target
