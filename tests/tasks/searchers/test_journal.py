"""The journal survives processes that die while they write."""

import os
import signal
import subprocess
import sys

from tasks.searchers.journal import SharedJournal, locked, mend_journal


def test_mending_cuts_a_torn_line_alone(tmp_path):
    path = tmp_path / "journal.log"
    for whole in (b"", b'{"a": 1}\n{"b": 2}\n'):
        path.write_bytes(whole)
        assert mend_journal(path) == 0
        assert path.read_bytes() == whole
    path.write_bytes(b'{"a": 1}\n{"b"')
    assert mend_journal(path) == 4
    assert path.read_bytes() == b'{"a": 1}\n'


def test_a_record_after_a_torn_one_can_be_read(tmp_path):
    journal = SharedJournal(tmp_path / "journal.log")
    journal.append_logs([{"a": 1}])
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"torn": ')
    assert list(journal.read_logs(0)) == [{"a": 1}]
    journal.append_logs([{"b": 2}, {"c": 3}])
    assert list(journal.read_logs(1)) == [{"b": 2}, {"c": 3}]


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'ab')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with locked(path):
        pass
