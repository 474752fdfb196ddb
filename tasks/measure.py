"""Stage measure: latency, peak memory and parameter counts of the full and the pruned model.

Its numbers depend on the machine, so they lie in a side file that only `report` and `package` read.
"""

import argparse
import json
import logging
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.evaluation import Latency, Measurement
from tasks.errors import ArtifactError
from tasks.metrics.latency import interleaved_seconds, latency_of, torch_threads
from tasks.metrics.memory import peak_bytes
from tasks.metrics.runtimes import measure_runtimes
from tasks.models.base import ForecastModel
from tasks.models.registry import load_model
from tasks.params import Params
from tasks.pipeline.schedule import available_cores
from tasks.runtime import Progress, load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.sections.judging import Measure

CPU_INFO = Path("/proc/cpuinfo")

log = logging.getLogger(__name__)


def machine_label(device: torch.device) -> str:
    """Processor, its usable cores, torch's version, and the CUDA device where one is used."""
    name = platform.processor() or platform.machine()
    if CPU_INFO.is_file():
        match = re.search(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text("utf-8"), re.MULTILINE)
        name = match[1] if match else name
    label = f"{name}, {available_cores()} cores, torch {torch.__version__}"
    return f"{label}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else label


def random_context(
    params: Params, batch: int, device: torch.device
) -> Float[Tensor, "batch context"]:
    """Seeded standard normal values; latency does not depend on them."""
    generator = torch.Generator().manual_seed(seed_for(params.seed, "measure", batch))
    return torch.randn(batch, params.windows.context, generator=generator).to(device)


def forecast_once(
    model: ForecastModel, context: Float[Tensor, "batch context"], horizon: int
) -> None:
    """One forecast, as in serving."""
    with torch.inference_mode():
        model.forecast(context, horizon)


def measure_latency(
    models: Mapping[str, ForecastModel], params: Params, *, threads: list[int], what: str
) -> dict[str, dict[str, Latency]]:
    """Latency by model and by "threads=T,batch=B"; in each setting the models take turns."""
    settings: Measure = params.measure
    device = pick_device(params.runtime.device)
    found: dict[str, dict[str, Latency]] = {name: {} for name in models}
    total = len(threads) * len(settings.batch_sizes)
    with Progress(what, total) as progress:
        for number in threads:
            for batch in settings.batch_sizes:
                context = random_context(params, batch, device)
                runs: dict[str, Callable[[], object]] = {
                    name: partial(forecast_once, model, context, params.windows.horizon)
                    for name, model in models.items()
                }
                with torch_threads(number):
                    seconds = interleaved_seconds(
                        runs, repeats=settings.repeats, warmup=settings.warmup, device=device
                    )
                key = f"threads={number},batch={batch}"
                for name, taken in seconds.items():
                    found[name][key] = latency_of(taken)
                progress.update(sum(len(one) for one in found.values()) // len(models), key)
    return found


def peak_of(folder: Path, params: Params) -> int:
    """Bytes that loading the model and one forecast of the largest batch need, in this process."""
    device = pick_device(params.runtime.device)

    def load_and_forecast(batch: int) -> None:
        model = load_model(folder, device)
        forecast_once(model, random_context(params, batch, device), params.windows.horizon)

    load_and_forecast(1)
    return peak_bytes(lambda: load_and_forecast(max(params.measure.batch_sizes)), device)


def peak_in_child(folder: Path, dataset: str, model: str) -> int:
    """`peak_of` in a process of its own. Raises ArtifactError when that process fails."""
    command = [sys.executable, "-m", "tasks.measure", "--dataset", dataset, "--model", model]
    done = subprocess.run(
        [*command, "--peak", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ArtifactError(f"{folder}: its memory could not be measured: {lines[-1]}")
    return int(json.loads(done.stdout.splitlines()[-1])["peak_bytes"])


def measure(params: Params, dataset: str, model: str) -> None:
    """Measures both models of one dataset and model entry and writes the side file."""
    name = f"{dataset}/{model}"
    folders = {"full": Path("models/full", name), "pruned": Path("models/pruned", name)}
    peaks = {which: peak_in_child(folder, dataset, model) for which, folder in folders.items()}
    device = pick_device(params.runtime.device)
    models = {which: load_model(folder, device) for which, folder in folders.items()}
    threads = [1] if device.type == "cuda" else sorted({1, available_cores()})
    found = measure_latency(models, params, threads=threads, what=f"measure {name}")
    others = measure_runtimes(
        models,
        params.measure,
        threads=threads if params.measure.runtimes else [],
        horizon=params.windows.horizon,
        contexts={
            batch: random_context(params, batch, device) for batch in params.measure.batch_sizes
        },
    )
    speedup = {
        key: full.p50_ms / found["pruned"][key].p50_ms for key, full in found["full"].items()
    }
    Measurement(
        dataset=dataset,
        model=model,
        machine=machine_label(device),
        threads=threads,
        full=found["full"],
        pruned=found["pruned"],
        speedup_p50=speedup,
        peak_bytes_full=peaks["full"],
        peak_bytes_pruned=peaks["pruned"],
        parameters_full=models["full"].parameter_counts(),
        parameters_pruned=models["pruned"].parameter_counts(),
        runtimes_full=others.latency["full"],
        runtimes_pruned=others.latency["pruned"],
        runtimes_failed=others.failed,
    ).write(Path("measurements", f"{name}.json"))
    log.info(
        "measure %s: pruned is %s as fast; peak memory %.0f -> %.0f MB",
        *(name, ", ".join(f"{ratio:.2f}x ({key})" for key, ratio in speedup.items())),
        *(peaks["full"] / 1e6, peaks["pruned"] / 1e6),
    )


def main(argv: list[str]) -> None:
    """Entry point of the stage."""
    description = "Writes latency, peak memory and parameter counts of full and pruned model."
    parser = stage_parser("tasks.measure", description, selects=("dataset", "model"))
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    if args.peak:
        print(json.dumps({"peak_bytes": peak_of(args.peak, params)}))
        return
    measure(params, args.dataset, args.model)


if __name__ == "__main__":
    run_stage(main)
