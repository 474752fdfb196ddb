"""The Prefect server of a workspace: found where one runs, started on 127.0.0.1 where none does."""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flows.environment import base_environment, prefect_environment, prefect_home
from flows.errors import FlowError
from flows.processes import Child
from tasks.artifacts.files import write_text

HOST: Final = "127.0.0.1"
API_VARIABLE: Final = "PREFECT_API_URL"
START_SECONDS: Final = 90.0
FLUSH_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 1.0  # in which the server records the last states it was sent


def find_server(root: Path) -> str | None:
    """The API address of a server that is configured or was started by `fewlayers ui`.

    Raises:
        FlowError: none answers where PREFECT_API_URL says.
    """
    if configured := os.environ.get(API_VARIABLE):
        if not answers(configured):
            raise FlowError(
                f"{API_VARIABLE}: nobody answers at {configured}; start the server there, or "
                "unset the variable to use one of this workspace"
            )
        return configured
    return own_server(root)


def own_server(root: Path) -> str | None:
    """The API address of a server that `fewlayers ui` started for this workspace."""
    note = prefect_home(root) / "server.json"
    try:
        address = str(json.loads(note.read_text(encoding="utf-8"))["api"])
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return address if is_healthy(address) else None


def answers(api: str) -> bool:
    """True when anything answers there: a server in the cloud may ask who we are first."""
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def is_healthy(api: str) -> bool:
    """True when a Prefect server answers at this API address."""
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def start_server(root: Path, *, port: int, is_lasting: bool) -> Iterator[str]:
    """Runs a server until the block ends; yields its API address.

    Args:
        root: the workspace; database and log lie in `.state/prefect/`.
        port: a free port of 127.0.0.1.
        is_lasting: a server for people: with UI and schedules, and noted so that runs find it.

    Raises:
        FlowError: the port is taken, or the server does not answer in time.
    """
    home = prefect_home(root)
    home.mkdir(parents=True, exist_ok=True)
    api, note = f"http://{HOST}:{port}/api", home / "server.json"
    switches = [] if is_lasting else ["--no-scheduler", "--no-late-runs", "--no-ui"]
    command = [sys.executable, "-m", "prefect", "server", "start",
               "--host", HOST, "--port", str(port), *switches]  # fmt: skip
    environment = base_environment() | prefect_environment(root)
    environment.pop(API_VARIABLE, None)
    environment["PREFECT_SERVER_UI_API_URL"] = api  # else the pages look for port 4200
    with (home / "server.log").open("wb") as output:
        child = Child(command, folder=home, environment=environment, output=output)
        try:
            _await(child, api, home / "server.log")
            if is_lasting:
                write_text(note, json.dumps({"api": api, "pid": os.getpid()}) + "\n")
            yield api
        finally:
            child.stop()
            if is_lasting:
                note.unlink(missing_ok=True)


def _await(child: Child, api: str, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(api):
        if not child.is_running():
            raise FlowError(f"the Prefect server did not start at {api}; see {log_file}")
        if time.monotonic() > deadline:
            raise FlowError(f"no answer from {api} in {START_SECONDS:.0f} s; see {log_file}")
        time.sleep(0.1)


@contextmanager
def any_server(root: Path) -> Iterator[str]:
    """The running server where there is one, else one for the time of the block."""
    found = find_server(root)
    if found:
        yield found
        return
    with start_server(root, port=free_port(), is_lasting=False) as api:
        yield api
        time.sleep(SETTLE_SECONDS)


def flush() -> None:
    """Sends the logs and events that this process still holds; call before a server stops."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=FLUSH_SECONDS)
    EventsWorker.drain_all(timeout=FLUSH_SECONDS)
