"""`fewlayers doctor`: does this machine have what a run needs?"""

import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from flows import dvc
from flows.bring import damage_message
from flows.refresh import stages_at_once
from flows.server import any_server
from tasks.errors import FewlayersError
from tasks.params import load_params

PACKAGE: Final = "fewlayers"


def examine(root: Path) -> Iterator[tuple[str, bool, str]]:
    """Yields (what, is it good, what was found) for each check."""
    python = platform.python_version()
    yield "python", sys.version_info >= (3, 11), f"{python} (3.11 or newer is needed)"
    yield from _versions()
    for what, check in (
        ("params.yaml", _params),
        ("dvc", _graph),
        ("cache", _cache),
        ("prefect server", _server),
    ):
        yield what, *_outcome(check, root)


def _outcome(check: Callable[[Path], str], root: Path) -> tuple[bool, str]:
    try:
        return True, check(root)
    except FewlayersError as error:
        return False, str(error)


def _versions() -> Iterator[tuple[str, bool, str]]:
    """Every direct dependency against the range that pyproject.toml allows."""
    try:
        wanted = [Requirement(text) for text in requires(PACKAGE) or []]
    except PackageNotFoundError:
        yield (
            PACKAGE,
            False,
            "not installed; `pip install -c constraints.txt -e .` does it",
        )
        return
    for need in wanted:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            yield need.name, False, "not installed; install with `-c constraints.txt`"
            continue
        is_good = need.specifier.contains(found, prereleases=True)
        yield need.name, is_good, found if is_good else f"{found}; needed: {need.specifier}"


def _params(root: Path) -> str:
    params = load_params(root / "params.yaml")
    return (
        f"valid: {len(params.run.datasets)} datasets x {len(params.run.models)} models, "
        f"{stages_at_once(params)} stages at once"
    )


def _graph(root: Path) -> str:
    dvc.prepare(root)
    stages = dvc.stage_graph(root)
    stale = dvc.status(root)
    return f"{len(stages)} stages, {len(stages) - len(stale)} up to date"


def _cache(root: Path) -> str:
    damaged = dvc.damaged_objects(root)
    if damaged:
        raise FewlayersError(damage_message(damaged))
    return "every object of current outputs has the bytes of its hash"


def _server(root: Path) -> str:
    with any_server(root) as api:
        return f"answers at {api}"
