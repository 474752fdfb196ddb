"""Latency of several callables, timed in turn so that drift of the machine cancels."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from tasks.artifacts.evaluation import Latency


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Runs the body with this many torch threads and restores the number before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call; CUDA is waited for before and after it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def interleaved_seconds(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warmup: int,
    device: torch.device,
) -> dict[str, list[float]]:
    """Seconds of every call: all `runs` once, then all again, `repeats` times.

    Args:
        runs: what to time, by name.
        repeats: timed calls of each.
        warmup: calls of each before, not timed.
        device: where the work runs; CUDA is waited for before and after each call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    for turn in range(-warmup, repeats):
        for name, run in runs.items():
            taken = seconds_of(run, device)
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def latency_of(seconds: list[float]) -> Latency:
    """Median and 95th percentile in milliseconds."""
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return Latency(p50_ms=float(p50), p95_ms=float(p95))
