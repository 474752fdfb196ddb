"""Timing and memory of callables; no test asserts a time."""

import sys

import pytest
import torch

from tasks.metrics.latency import interleaved_seconds, latency_of, torch_threads
from tasks.metrics.memory import peak_bytes

CPU = torch.device("cpu")


def test_calls_take_turns_and_warm_up_is_not_counted() -> None:
    calls: list[str] = []
    runs = {"full": lambda: calls.append("full"), "pruned": lambda: calls.append("pruned")}
    seconds = interleaved_seconds(runs, repeats=3, warmup=2, device=CPU)
    assert calls == ["full", "pruned"] * 5
    assert {name: len(taken) for name, taken in seconds.items()} == {"full": 3, "pruned": 3}


def test_latency_is_median_and_95th_percentile_in_milliseconds() -> None:
    latency = latency_of([0.001 * step for step in range(101)])
    assert latency.p50_ms == pytest.approx(50)
    assert latency.p95_ms == pytest.approx(95)


def test_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def fail() -> None:
        with torch_threads(before + 1):
            seen.append(torch.get_num_threads())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the high-water mark is not reset")
def test_peak_is_that_of_the_work_alone() -> None:
    size = 64 * 2**20
    torch.ones(4 * size, dtype=torch.uint8)  # a larger peak before, which must not count
    peak = peak_bytes(lambda: torch.ones(size, dtype=torch.uint8), CPU)
    assert 0.9 * size <= peak <= 1.5 * size
