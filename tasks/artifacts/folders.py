"""Folders made equal to others, file by file where the content differs."""

import filecmp
import shutil
from pathlib import Path
from typing import Final

SKIPPED: Final = frozenset({"__pycache__"})


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
            copy_file(source / name, target / name)


def copy_file(source: Path, target: Path) -> None:
    """Copies a file, unless the target has the same content."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
