"""Optuna's journal file, opened so that a torn last line costs one record and not the study."""

import logging
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

log = logging.getLogger(__name__)


def mend_journal(path: Path) -> int:
    """Cuts a journal back to its last whole line; returns how many bytes were cut.

    A process killed while it appends leaves half a line, which the next append would join with
    its own, and then Optuna can read nothing after it.
    """
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    cut = len(content) - whole
    if cut:
        log.warning("%s: the last record was torn; %d bytes cut", path, cut)
        with path.open("r+b") as file:
            file.truncate(whole)
    return cut


def open_journal(path: Path) -> JournalStorage:
    """The storage in a journal file, mended; locks left by a killed process are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mend_journal(path)
    for stale in path.parent.glob(f"{path.name}.lock*"):
        stale.unlink()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
