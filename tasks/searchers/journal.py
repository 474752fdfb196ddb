"""Optuna's journal file for several processes, each of which may be killed at any moment."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, which the system lifts when its holder dies."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class SharedJournal(JournalFileBackend):
    """A journal whose torn last line is cut off before the next record is written.

    A process killed while it appends leaves half a line, which the next record would join, and
    then Optuna can read nothing after it. Only the holder of the lock writes, so a line without
    an end was left by a dead one.
    """

    def __init__(self, path: Path) -> None:
        """`path` is made when it is not there; its lock is `path` with `.flock` added."""
        self.path, self.lock = path, path.with_name(f"{path.name}.flock")
        super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Writes records, one per line."""
        lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs)
        with locked(self.lock):
            mend_journal(self.path)
            with self.path.open("ab") as file:
                file.write(lines.encode())


def mend_journal(path: Path) -> int:
    """Cuts a journal back to its last whole line; returns how many bytes were cut."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return 0
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return 0
        file.seek(0)
        cut = size - (file.read().rfind(b"\n") + 1)
        file.truncate(size - cut)
    log.warning("%s: the last record was torn; %d bytes cut", path, cut)
    return cut


def open_journal(path: Path) -> JournalStorage:
    """The storage in a journal file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(SharedJournal(path))
