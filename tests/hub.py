"""A server on 127.0.0.1 that answers huggingface_hub as the hub does, for what downloads need."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What is served, and what was asked for.

    Attributes:
        address: of the server.
        commits: by model id the folder at each commit, the newest last.
        cut: bytes after which the connection breaks while a file of weights is sent; None: never.
        most: bytes of such a file that are sent at all; None: all.
        asked: every request as "METHOD path", with the first byte where only a part was wanted.
    """

    address: str = ""
    commits: dict[str, dict[str, Path]] = field(default_factory=dict)
    cut: int | None = None
    most: int | None = None
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, folder: Path) -> str:
        """A new commit of a model; its hash."""
        here = self.commits.setdefault(name, {})
        commit = hashlib.sha1(f"{name} {len(here)}".encode(), usedforsecurity=False).hexdigest()
        here[commit] = folder
        return commit


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Inside the context a hub without any model runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            answer(self, hub)

        def do_GET(self) -> None:
            answer(self, hub)

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


INFO = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)(/revision/(?P<commit>[^/]+))?")
TREE = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)/tree/(?P<commit>[^/]+)")
FILE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<path>.+)")


def answer(request: BaseHTTPRequestHandler, hub: Hub) -> None:
    """One request."""
    path = unquote(urlsplit(request.path).path)
    first = _first_byte(request)
    hub.asked.append(f"{request.command} {path}{f' from {first}' if first else ''}")
    responses = ((TREE, _tree), (FILE, _file), (INFO, _info))
    found = [(one, respond) for pattern, respond in responses if (one := pattern.fullmatch(path))]
    if not found:
        return _refuse(request, "EntryNotFound")
    match, respond = found[0]
    commits = hub.commits.get(match["name"])
    if commits is None:
        return _refuse(request, "RepoNotFound")
    commit = match["commit"] or list(commits)[-1]
    if commit not in commits:
        return _refuse(request, "RevisionNotFound")
    return respond(request, hub, match, commits[commit], commit)


def _first_byte(request: BaseHTTPRequestHandler) -> int:
    """Where the wanted part of a file begins."""
    wanted = request.headers.get("Range") or "bytes=0-"
    return int(wanted.removeprefix("bytes=").split("-")[0])


def _refuse(request: BaseHTTPRequestHandler, code: str) -> None:
    request.send_response(404)
    request.send_header("X-Error-Code", code)
    request.send_header("Content-Length", "0")
    request.end_headers()


def _send(request: BaseHTTPRequestHandler, content: object) -> None:
    body = json.dumps(content).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _info(
    request: BaseHTTPRequestHandler, _hub: Hub, match: re.Match[str], folder: Path, commit: str
) -> None:
    files = [{"rfilename": name} for name in _files(folder)]
    _send(request, {"_id": "0", "id": match["name"], "sha": commit, "siblings": files})


def _tree(
    request: BaseHTTPRequestHandler, _hub: Hub, _match: re.Match[str], folder: Path, _commit: str
) -> None:
    entries = []
    for name in _files(folder):
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"type": "file", "path": name, "size": len(content), "oid": digest[:40]})
        if name.endswith(".safetensors"):
            entries[-1]["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    _send(request, entries)


def _file(
    request: BaseHTTPRequestHandler, hub: Hub, match: re.Match[str], folder: Path, commit: str
) -> None:
    path = folder / match["path"]
    if not path.is_file():
        return _refuse(request, "EntryNotFound")
    content = path.read_bytes()
    first = _first_byte(request)
    rest = content[first:]
    request.send_response(206 if first else 200)
    request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
    request.send_header("X-Repo-Commit", commit)
    request.send_header("Accept-Ranges", "bytes")
    request.send_header("Content-Length", str(len(rest)))
    if first:
        request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    request.end_headers()
    if request.command == "HEAD":
        return None
    if hub.cut is not None and path.suffix == ".safetensors":
        request.wfile.write(content[first : hub.most][: hub.cut])
        request.close_connection = True
        return None
    request.wfile.write(rest)
    return None
