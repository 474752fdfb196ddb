"""A model's forecast in other runtimes: compiled, exported by torch.export, and in ONNX Runtime."""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.evaluation import Latency
from tasks.errors import ExportError
from tasks.metrics.latency import interleaved_seconds, latency_of, torch_threads
from tasks.models.base import ForecastModel
from tasks.models.export import Forecasting, Program, Traced, load_onnx, save_onnx, trace
from tasks.sections.judging import Measure, RuntimeName

log = logging.getLogger(__name__)


@dataclass
class Found:
    """Latency by model, runtime and setting, and why a runtime was not measured."""

    latency: dict[str, dict[str, dict[str, Latency]]]
    failed: dict[str, str] = field(default_factory=dict)


def measure_runtimes(
    models: Mapping[str, ForecastModel],
    settings: Measure,
    *,
    threads: Sequence[int],
    horizon: int,
    contexts: Mapping[int, Float[Tensor, "batch context"]],
) -> Found:
    """Latency of every model in every wanted runtime; in each setting all take turns.

    A runtime that cannot run one of the models is left out for all, with the reason.

    Args:
        models: by name.
        settings: which runtimes, and how often to repeat.
        threads: numbers of threads.
        horizon: steps to forecast.
        contexts: by batch size.
    """
    found = Found({name: {one: {} for one in settings.runtimes} for name in models})
    traces: dict[str, Traced] = {}
    for number in threads:
        with torch_threads(number):
            runs = _programs(models, settings.runtimes, traces, horizon, contexts, found.failed)
            for batch, context in contexts.items():
                calls: dict[tuple[str, str], Callable[[], object]] = {
                    key: partial(_call, program, context) for key, program in runs.items()
                }
                seconds = interleaved_seconds(
                    {"/".join(key): call for key, call in calls.items()},
                    repeats=settings.repeats,
                    warmup=max(1, settings.warmup),  # the first call compiles
                    device=context.device,
                )
                for name, runtime in calls:
                    taken = latency_of(seconds[f"{name}/{runtime}"])
                    found.latency[name][runtime][f"threads={number},batch={batch}"] = taken
    for name, by_runtime in found.latency.items():
        found.latency[name] = {one: times for one, times in by_runtime.items() if times}
    return found


def _call(program: Program, context: Float[Tensor, "batch context"]) -> None:
    with torch.inference_mode():
        program(context)


def _programs(
    models: Mapping[str, ForecastModel],
    runtimes: Sequence[RuntimeName],
    traces: dict[str, Traced],
    horizon: int,
    contexts: Mapping[int, Tensor],
    failed: dict[str, str],
) -> dict[tuple[str, str], Program]:
    """By model and runtime what runs; a runtime that failed for one model is out for all."""
    made: dict[tuple[str, str], Program] = {}
    for runtime in runtimes:
        if runtime in failed:
            continue
        try:
            for name, model in models.items():
                if runtime in {"exported", "onnx"} and name not in traces:
                    traces[name] = trace(model, horizon=horizon, batch=max(contexts))
                program = _program(runtime, model, traces.get(name), horizon)
                for context in contexts.values():
                    _call(program, context)
                made[name, runtime] = program
        except Exception as error:
            failed[runtime] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            log.warning("measure: %s was left out: %s", runtime, failed[runtime])
            made = {key: program for key, program in made.items() if key[1] != runtime}
    return made


def _program(
    runtime: RuntimeName, model: ForecastModel, traced: Traced | None, horizon: int
) -> Program:
    module = Forecasting(model.eval(), horizon)
    if runtime == "eager":
        return module
    if runtime == "compiled":
        torch._dynamo.reset()  # threads are a constant of the compiled code
        compiled: Program = torch.compile(module, dynamic=False)
        return compiled
    assert traced is not None
    if runtime == "exported":
        exported: Program = traced.program.module()
        return exported
    if next(model.parameters()).device.type != "cpu":
        raise ExportError("ONNX Runtime is measured on a CPU only")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_onnx(traced, path)
        return load_onnx(path, threads=torch.get_num_threads())
