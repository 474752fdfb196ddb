"""Mends what a killed DVC can leave half-written: its `rwlock` file and `dvc.lock`.

DVC writes both in place, so a process killed in that moment leaves a torn file, which every
later DVC command refuses. Call these while no DVC command is at work in the workspace.
"""

import json
import shutil
from pathlib import Path

from flows.dvc import has_whole_lock
from flows.environment import state_folder
from tasks.artifacts.files import write_atomically


def mend(root: Path) -> list[str]:
    """Repairs torn files of a workspace; returns what was done, one line each."""
    done = []
    rwlock = root / ".dvc" / "tmp" / "rwlock"
    if rwlock.is_file() and not _is_json(rwlock):
        rwlock.unlink()
        done.append(f"removed {rwlock}, torn by a killed run")
    lock, kept = root / "dvc.lock", _kept(root)
    if lock.is_file() and not has_whole_lock(root):
        if kept.is_file():
            _copy(kept, lock)
            done.append(f"put {lock} back as it was before the killed run")
        else:
            lock.unlink()
            done.append(f"removed {lock}, torn by a killed run; stages come back from the cache")
    return done


def keep_lock(root: Path) -> None:
    """Keeps a copy of a whole dvc.lock in `.state/`, for `mend`."""
    lock = root / "dvc.lock"
    if lock.is_file() and has_whole_lock(root):
        _copy(lock, _kept(root))


def _kept(root: Path) -> Path:
    return state_folder(root) / "dvc.lock"


def _copy(source: Path, target: Path) -> None:
    write_atomically(target, lambda temporary: _copy_plain(source, temporary))


def _copy_plain(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True
