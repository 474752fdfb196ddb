"""A real Prefect server for the session and small real DVC workspaces."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.support import Workspace, make_small_workspace


@pytest.fixture(autouse=True, scope="session")
def _programs_and_quiet(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`dvc` and `python` of this environment come first; nothing is sent or kept outside tmp."""
    os.environ.update(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        DVC_NO_ANALYTICS="1",
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="false",  # else Prefect starts one at home by itself
        DO_NOT_TRACK="1",
        DVC_SITE_CACHE_DIR=str(tmp_path_factory.mktemp("dvc")),
    )


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_small_workspace(tmp_path_factory.mktemp("template") / "workspace")


@pytest.fixture
def workspace(tmp_path: Path, _template: Workspace) -> Workspace:
    """A fresh copy of the small graph; nothing has run yet."""
    return Workspace(Path(shutil.copytree(_template.root, tmp_path / "workspace")))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server with scheduler on a free port of 127.0.0.1; yields its API address.

    Prefect reads its settings when it is imported, so that no test file may do so by itself.
    """
    assert "prefect" not in sys.modules, "imported without this fixture, or by a test file's head"
    from flows.server import flush, free_port, start_server

    root = tmp_path_factory.mktemp("server")
    with start_server(root, port=free_port(), is_lasting=True) as api:
        variables = {
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(root / ".state" / "prefect"),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        }
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        yield api
        if "prefect" in sys.modules:
            flush()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def api(prefect_server: str) -> Callable[[str, dict[str, object]], list[dict[str, object]]]:
    """Posts a filter to the Prefect API and returns the rows."""
    import httpx

    def post(path: str, body: dict[str, object]) -> list[dict[str, object]]:
        answer = httpx.post(f"{prefect_server}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        rows: list[dict[str, object]] = answer.json()
        return rows

    return post
