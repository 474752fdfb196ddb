"""Environment variables: no telemetry, threads per stage, and where Prefect keeps its files."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tasks.pipeline.environment import stage_variables

QUIET: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
}
HEARTBEAT_SECONDS: Final = 30


def state_folder(root: Path) -> Path:
    """The folder for everything that DVC does not track: `.state/`."""
    return root / ".state"


def prefect_home(root: Path) -> Path:
    """Where this workspace's Prefect server keeps its database and profiles."""
    return state_folder(root) / "prefect"


def base_environment() -> dict[str, str]:
    """The environment of this process, telemetry off, this Python's programs first in PATH."""
    programs = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, **QUIET, "PATH": f"{programs}{os.pathsep}{path}"}


def stage_environment(threads: int) -> dict[str, str]:
    """The environment of a stage: as above, with the threads it may use and unbuffered output."""
    return {**base_environment(), **stage_variables(threads)}


def prefect_environment(root: Path) -> dict[str, str]:
    """What a Prefect process of this workspace needs to find its files and say it is alive."""
    return {
        **QUIET,
        "PREFECT_HOME": str(prefect_home(root)),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }


def use(variables: Mapping[str, str]) -> None:
    """Sets variables for this process; call before prefect is imported."""
    os.environ.update(variables)
