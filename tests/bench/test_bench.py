"""`make bench` keeps what it has measured."""

from pathlib import Path

import pytest

from tasks.artifacts.files import read_json
from tests.bench.__main__ import RESULTS, holds, measure
from tests.bench.rows import Row, row


def group(name: str, value: float) -> list[Row]:
    return [row(name, value, 1.0, "ratio")]


def written(project: Path) -> list[tuple[str, float]]:
    return [(one["name"], one["value"]) for one in read_json(project / RESULTS)["rows"]]


def test_a_stopped_run_loses_the_group_at_work_and_others_are_kept(tmp_path: Path) -> None:
    def stopped(_: Path) -> list[Row]:
        raise KeyboardInterrupt

    groups = {"a": lambda _: group("first", 0.5), "b": stopped, "c": lambda _: group("last", 2.0)}
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, ["a", "b", "c"], groups, "this one")
    assert written(tmp_path) == [("first", 0.5)]
    rows = measure(tmp_path, ["c"], groups, "this one")
    assert written(tmp_path) == [("first", 0.5), ("last", 2.0)]
    assert [holds(one) for one in rows] == [True, False]
    groups["a"] = lambda _: group("first", 0.7)
    measure(tmp_path, ["a"], groups, "this one")
    assert written(tmp_path) == [("first", 0.7), ("last", 2.0)], "in the order of the groups"
    measure(tmp_path, ["c"], groups, "another one")
    assert written(tmp_path) == [("last", 2.0)], "ratios of two machines are not mixed"
