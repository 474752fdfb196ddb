"""Stages at once: alone where they must be, within the cores."""

from dataclasses import dataclass

import pytest

from tasks.pipeline.schedule import stages_within, startable


@dataclass(frozen=True)
class Named:
    name: str
    is_alone: bool = False


A, B, C = (Named(name) for name in "abc")
TIME, AGAIN = Named("measure", is_alone=True), Named("measure again", is_alone=True)


@pytest.mark.parametrize(
    ("ready", "running", "started"),
    [
        ([A, B, C], [], [A, B]),
        ([B, C], [A], [B]),
        ([C], [A, B], []),
        ([TIME, A, B, C], [], [A, B]),
        ([TIME, C], [B], [C]),
        ([TIME], [B], []),
        ([TIME, AGAIN], [], [TIME]),
        ([C], [TIME], []),
        ([AGAIN], [TIME], []),
        ([], [], []),
    ],
)
def test_a_stage_that_must_be_alone_waits_for_the_others_and_they_for_it(
    ready: list[Named], running: list[Named], started: list[Named]
) -> None:
    assert startable(ready, running, 2) == started


def test_stages_times_threads_stay_within_the_cores_and_one_may_always_run() -> None:
    found = [stages_within(cores, threads=2, wanted=4) for cores in (1, 2, 4, 7, 64)]
    assert found == [1, 1, 2, 3, 4]
