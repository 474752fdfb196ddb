"""The server's own files: found where one runs, and pages that look at the right address."""

import json
from pathlib import Path

import httpx
import pytest

from flows.errors import FlowError
from flows.server import find_server, free_port, start_server

pytestmark = pytest.mark.flow


def test_pages_look_for_the_server_at_its_own_port(prefect_server: str) -> None:
    address = prefect_server.removesuffix("/api") + "/ui-settings"
    assert httpx.get(address, timeout=10).json()["api_url"] == prefect_server


def test_no_server_is_found_where_none_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert find_server(tmp_path) is None
    note = tmp_path / ".state" / "prefect" / "server.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"api": f"http://127.0.0.1:{free_port()}/api", "pid": 1}))
    assert find_server(tmp_path) is None


def test_server_is_found_by_its_note_and_the_note_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with start_server(tmp_path, port=free_port(), is_lasting=True) as api:
        assert find_server(tmp_path) == api
    assert find_server(tmp_path) is None
    assert not (tmp_path / ".state" / "prefect" / "server.json").exists()


def test_a_configured_server_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    with pytest.raises(FlowError, match=f"PREFECT_API_URL: nobody answers at {address}"):
        find_server(tmp_path)


def test_a_configured_server_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    assert find_server(tmp_path) == prefect_server
