"""Which stages run at once: the rule of those that must be alone, and the cores."""

import os
from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class Startable(Protocol):
    """A stage."""

    @property
    def is_alone(self) -> bool:
        """Whether nothing may run beside it (`meta: {alone: true}` in dvc.yaml)."""
        ...


Stage = TypeVar("Stage", bound=Startable)


def startable(ready: Sequence[Stage], running: Collection[Stage], workers: int) -> list[Stage]:
    """The stages that may start now, in their order.

    A stage that must be alone starts when nothing runs and nothing else can; beside it none does.

    Args:
        ready: those whose parents are done.
        running: those at work.
        workers: how many may be at work.
    """
    if any(stage.is_alone for stage in running):
        return []
    together = [stage for stage in ready if not stage.is_alone]
    if together or running:
        return together[: workers - len(running)]
    return list(ready[:1])


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stages_within(cores: int, *, threads: int, wanted: int) -> int:
    """How many stages may run at once so that stages x threads stay within the cores; one may."""
    return max(1, min(wanted, cores // threads))
