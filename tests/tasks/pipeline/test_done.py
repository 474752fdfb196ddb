"""A change of code makes stale what reads it, and nothing else."""

from pathlib import Path

import pytest

from tasks.pipeline.done import fingerprints
from tasks.pipeline.graph import read_graph

GRAPH = """
stages:
  code: {cmd: python -m tasks.code, deps: [tasks], outs: [code]}
  first: {cmd: python -m tasks.first, deps: [code/first.sha256], outs: [first.txt]}
  second: {cmd: python -m tasks.second, deps: [code/second.sha256, first.txt], outs: [second.txt]}
  other: {cmd: python -m tasks.other, deps: [code/other.sha256], outs: [other.txt]}
"""
CODE = {
    "first": "from tasks import shared",
    "second": "x = 1",
    "other": "x = 2",
    "shared": "x = 3",
    "unread": "x = 4",
}


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("first", {"first", "second"}),
        ("shared", {"first", "second"}),
        ("second", {"second"}),
        ("other", {"other"}),
        ("unread", set()),
    ],
)
def test_a_changed_file_makes_its_readers_stale(
    tmp_path: Path, changed: str, stale: set[str]
) -> None:
    def marks(folder: str, **replaced: str) -> dict[str, str]:
        root = tmp_path / folder  # imports are read once a process and path
        (root / "tasks").mkdir(parents=True)
        (root / "dvc.yaml").write_text(GRAPH)
        for name, text in (CODE | replaced).items():
            (root / "tasks" / f"{name}.py").write_text(text)
        return fingerprints(root, read_graph(root / "dvc.yaml", {}), {})

    before, after = marks("before"), marks("after", **{changed: CODE[changed] + "\ny = 0"})
    found = {name for name in before if before[name] != after[name]}
    assert found == {"code"} | stale
