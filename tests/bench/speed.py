"""Ratios of times, both sides measured in one run, interleaved, on one thread."""

from pathlib import Path
from statistics import median

import torch

from tasks.data.windows import training_windows
from tasks.masks.mask import even_mask
from tasks.metrics.latency import interleaved_seconds, torch_threads
from tasks.models.build import build_model
from tasks.models.native import NativeModel
from tasks.params import Params
from tasks.training.precision import step_seconds
from tasks.training.recipe import Student
from tests.bench.entries import native_entry
from tests.bench.minimal import Minimal, minimal_step
from tests.tiny import tiny_loop, tiny_series

STEPS = 25
CONTEXT, HORIZON = 512, 96


def model_of(params: Params, name: str) -> NativeModel:
    """A randomly initialised model entry with context 512 and horizon 96."""
    entry, scale = native_entry(params, name)
    windows = params.windows.model_copy(update={"context": CONTEXT, "horizon": HORIZON})
    model, _ = build_model(entry, scale, windows, seed=0, pretrained=Path())
    assert isinstance(model, NativeModel)
    return model


def training_step_ratio(params: Params, folder: Path) -> float:
    """Our whole training step at nano over the minimal one's, batches of 64 windows."""
    with torch_threads(1):
        entry, scale = native_entry(params, "tsfm-nano")
        student = Student(
            name="ours", model=model_of(params, "tsfm-nano"), steps=10**6, learning_rate=1e-3
        )
        loop = tiny_loop(folder, [student], batch_size=64, eval_every=10**6)
        data = tiny_series(length=6000)
        loop.windows = training_windows(data, CONTEXT, HORIZON)
        minimal = Minimal(
            blocks=scale.blocks,
            width=scale.width,
            heads=scale.heads,
            context=CONTEXT,
            patch=entry.patch,
            horizon=HORIZON,
        )
        optimizer = torch.optim.AdamW(minimal.parameters(), lr=1e-3, fused=True)
        index = loop.windows.draw(64, torch.Generator().manual_seed(0))
        steps = iter(range(1, 10**6))
        seconds = interleaved_seconds(
            {
                "ours": lambda: loop._step(next(steps)),
                "minimal": lambda: minimal_step(minimal, optimizer, loop.windows.batch(index)),
            },
            repeats=STEPS,
            warmup=3,
            device=torch.device("cpu"),
        )
    return median(seconds["ours"]) / median(seconds["minimal"])


def bf16_ratio(params: Params, name: str) -> float:
    """A model entry's training step under bf16 autocast over one in fp32, on this machine's CPU."""
    with torch_threads(1):
        model = model_of(params, name)
        window = training_windows(tiny_series(length=6000), CONTEXT, HORIZON)
        batch = window.batch(window.spaced(16))
        return step_seconds(model, batch, bf16=True) / step_seconds(model, batch, bf16=False)


def pruned_speedup(params: Params) -> float:
    """Latency of the full micro model over that of a quarter of its blocks, batch 64."""
    full = model_of(params, "tsfm-micro").eval()
    pruned = full.with_blocks(even_mask(full.num_blocks, full.num_blocks // 4))
    context = torch.randn(64, CONTEXT, generator=torch.Generator().manual_seed(0))
    with torch_threads(1), torch.inference_mode():
        seconds = interleaved_seconds(
            {
                "full": lambda: full.forecast(context, HORIZON),
                "pruned": lambda: pruned.forecast(context, HORIZON),
            },
            repeats=STEPS,
            warmup=3,
            device=torch.device("cpu"),
        )
    return median(seconds["full"]) / median(seconds["pruned"])
