"""fp32 or bf16 autocast."""

import time
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tasks.artifacts.files import write_text
from tasks.models.base import ForecastModel
from tasks.models.interface import LossSpec, loss_between

TRIALS = 5


def pick_precision(
    choice: Literal["auto", "fp32", "bf16"], model: ForecastModel, batch: Tensor
) -> Literal["fp32", "bf16"]:
    """The precision to train in.

    `auto` is fp32 on a CPU, where a measured choice would make runs differ for the tenth of the
    time that bf16 autocast saved at width 64 (see the bench); on CUDA it is bf16 where the hardware
    has it and a measured step is faster.
    """
    if choice != "auto":
        return choice
    if batch.device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return "fp32"
    return (
        "bf16"
        if step_seconds(model, batch, bf16=True) < step_seconds(model, batch, bf16=False)
        else "fp32"
    )


def settled_precision(
    choice: Literal["auto", "fp32", "bf16"], model: ForecastModel, batch: Tensor, state: Path
) -> Literal["fp32", "bf16"]:
    """`pick_precision`, measured once: what a stopped run picked its checkpoints belong to.

    Args:
        choice: as in params.yaml.
        model: on the device.
        batch: of windows, on the device.
        state: the run's folder below `.state/`, which is deleted when it is done.
    """
    if choice != "auto":
        return choice
    file = state / f"precision-{batch.device.type}"
    known: dict[str, Literal["fp32", "bf16"]] = {"fp32": "fp32", "bf16": "bf16"}
    picked = known.get(file.read_text(encoding="utf-8")) if file.is_file() else None
    if picked is None:
        picked = pick_precision(choice, model, batch)
        write_text(file, picked)
    return picked


def step_seconds(model: ForecastModel, batch: Tensor, *, bf16: bool) -> float:
    """Seconds of one forward and backward pass: the least of a few after a warm-up."""
    device = batch.device.type
    times: list[float] = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            outputs = model.outputs(batch)
        loss_between(outputs.prediction, outputs.target, outputs, LossSpec()).backward()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
        model.zero_grad(set_to_none=True)
    return min(times[1:])
