"""`python -m tests.bench.zoo_speed`: what dropping blocks saves at published sizes, measured.

One published size of every family with random weights, whole and with a quarter of its blocks:
time of a forecast, bytes of the weights and, on CUDA, peak memory. Speed and memory alone: random
weights forecast nothing. What one family found is written before the next begins; one that fails
says so in its row.
"""

import argparse
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from tasks.artifacts.files import write_csv, write_text
from tasks.metrics.latency import seconds_of
from tasks.models.base import ForecastModel
from tasks.models.families import family_class
from tasks.models.zoo.published import PUBLISHED, Published
from tests.bench.zoo import build, quarter
from tests.bench.zoo_speed_table import BATCHES, HEADER, HORIZON, NOTES, SIDES, Row, cells


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Up to `most` calls; no more once `least` took over `seconds`."""

    most: int
    least: int
    seconds: float


WARM_UP = Limit(most=2, least=1, seconds=1.0)
TIMED = Limit(most=10, least=2, seconds=1.5)
# by name in PUBLISHED the precision of the weights; what takes longest comes last
CHOSEN = {
    "PatchTST/64 (paper)": torch.float32,
    "GPT4TS on openai-community/gpt2": torch.float32,
    "thuml/timer-base-84m": torch.float32,
    "Salesforce/moirai-2.0-R-small": torch.float32,
    "Salesforce/moirai-1.1-R-base": torch.float32,
    "AutonLab/MOMENT-1-base": torch.float32,
    "thuml/sundial-base-128m": torch.float32,
    "Maple728/TimeMoE-50M": torch.float32,
    "google/timesfm-2.0-500m-pytorch": torch.float32,
    "google/timesfm-2.5-200m-transformers": torch.float32,
    "GPT4TS on Llama-7B": torch.bfloat16,
    "amazon/chronos-bolt-base": torch.float32,
    "amazon/chronos-2": torch.float32,
    "Time-LLM on Llama-7B": torch.bfloat16,
    "amazon/chronos-t5-base": torch.float32,
}
MODELS = [one for name in CHOSEN for one in PUBLISHED if one.name == name]
FAMILIES = list(dict.fromkeys(one.family for one in MODELS))
TINY = {  # replaces fields of these names
    "d_model": 64, "hidden_size": 64, "n_embd": 64, "d_ff": 128, "intermediate_size": 128,
    "ffn_dim": 128, "d_kv": 32, "head_dim": 32, "num_layers": 4, "num_decoder_layers": 4,
    "num_hidden_layers": 4, "n_layer": 4, "num_heads": 2, "num_attention_heads": 2, "n_head": 2,
    "num_key_value_heads": 2, "num_samples": 2, "num_sampling_steps": 2,
}  # fmt: skip
TINY_OPTIONS = {"timellm": {"d_ff": 32, "prototypes": 16}}


def tiny(published: Published) -> Published:
    """The same design, so small that a CPU takes no time for it."""
    config = _shrunk(published.config)
    if "model_type" in config:
        config |= {"vocab_size": 64, "bos_token_id": 0, "eos_token_id": 0}
    if published.family.startswith("timesfm"):  # its published sizes are the library's defaults
        config |= {name: TINY[name] for name in ("hidden_size", "intermediate_size", "head_dim")}
        config |= {name: TINY[name] for name in ("num_hidden_layers", "num_attention_heads")}
    if published.family == "timesfm2_5":
        config["num_key_value_heads"] = TINY["num_key_value_heads"]
    options = {**published.options, **TINY_OPTIONS.get(published.family, {})}
    return replace(published, config=config, options=options)


def _shrunk(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _shrunk(value) if isinstance(value, Mapping) else TINY.get(name, value)
        for name, value in config.items()
    }


@contextmanager
def building(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Inside, new weights and buffers are made on the device and in this precision."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def time_calls(run: Callable[[], object], device: torch.device, limit: Limit) -> list[float]:
    """Seconds of every call."""
    taken: list[float] = []
    while len(taken) < limit.most and (len(taken) < limit.least or sum(taken) < limit.seconds):
        taken.append(seconds_of(run, device))
    return taken


def free(device: torch.device) -> None:
    """Gives memory that nothing holds back, so that no model pays for the one before it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def measure_side(
    make: Callable[[], ForecastModel],
    row: Row,
    side: str,
    *,
    published: Published,
    device: torch.device,
) -> None:
    """Builds one model, and writes into the row what it measures, as soon as it is known."""
    free(device)
    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    dtype = CHOSEN[published.name]
    with building(device, dtype):
        model = make().eval()
    row.blocks[side] = model.num_blocks
    row.weights_bytes[side] = sum(p.numel() * p.element_size() for p in model.parameters())
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        context = torch.randn(batch, published.context, generator=generator).to(device, dtype)
        run = partial(model.forecast, context, HORIZON)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with torch.inference_mode():
            time_calls(run, device, WARM_UP)
            taken = time_calls(run, device, TIMED)
        row.milliseconds[side, batch] = 1000 * median(taken)
        if device.type == "cuda":
            row.peak_bytes[side, batch] = torch.cuda.max_memory_allocated(device) - held


def measure(published: Published, device: torch.device) -> Row:
    """Measures the model whole and with a quarter of its blocks; a failure is noted in the row."""
    published = replace(published, horizon=HORIZON)
    dtype = str(CHOSEN[published.name]).removeprefix("torch.")
    row = Row(published.name, published.family, dtype)
    small: list[Any] = []  # class and config of the smaller model

    def full() -> ForecastModel:
        model = build(published)
        small[:] = [type(model), model.config_of(quarter(model.num_blocks))]
        return model

    def kept() -> ForecastModel:
        made: ForecastModel = small[0](small[1])
        return made

    try:
        family_class(published.family)  # imported before new tensors go to the device
        for side, make in zip(SIDES, (full, kept), strict=True):
            measure_side(make, row, side, published=published, device=device)
    except Exception as error:  # whatever one family cannot do here, the others can
        reason = " ".join(str(error).split())[:200]
        row.failed = f"failed: {type(error).__name__}: {reason}"
    free(device)
    return row


def label(device: torch.device) -> str:
    """The device, torch and the precision."""
    name = f"CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    fp32 = "fp32 (TF32 products)" if device.type == "cuda" else "fp32"
    return f"{name}, torch {torch.__version__}, {fp32}; Llama-7B bf16"


def write(rows: Sequence[Row], device: torch.device, folder: Path, *, is_tiny: bool) -> None:
    """Writes zoo_speed.csv and zoo_speed.md."""
    write_csv(folder / "zoo_speed.csv", pd.DataFrame([row.flat() for row in rows]).convert_dtypes())
    head = label(device) + (", tiny shapes" if is_tiny else "")
    lines = [head, "", HEADER, *(cells(row) for row in rows), "", NOTES]
    write_text(folder / "zoo_speed.md", "\n".join(lines) + "\n")


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.zoo_speed",
        description=(
            "Measures one published size of every family with random weights, whole and with a "
            f"quarter of its blocks: time of a forecast of {HORIZON} values at batch 1 and 64, "
            "bytes of the weights and, on CUDA, peak memory. Writes zoo_speed.csv and "
            "zoo_speed.md after every model. One that fails, for want of a package or of memory, "
            "says so in its row. On a CPU the published sizes take long; try `--tiny` there."
        ),
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where the two files go"
    )
    parser.add_argument(
        "--only", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME",
        help=f"families to measure, of {', '.join(FAMILIES)}; all where it is left out",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=math.inf, metavar="N",
        help="begin no other model once N seconds are over; without it all are measured",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu",
        help="cuda or cpu; cuda unless said, where there is one",
    )  # fmt: skip
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to try it on a CPU")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measures what the command line asks for; the rows."""
    start = time.monotonic()
    args = read_arguments(argv)
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        for dtype in (torch.float32, torch.bfloat16):  # makes work areas that are no model's
            square = torch.ones(64, 64, device=device, dtype=dtype)
            square @ square
    rows: list[Row] = []
    for published in MODELS:
        if published.family not in args.only:
            continue
        begun = time.monotonic() - start
        if begun > args.seconds:
            skipped = Row(published.name, published.family, "")
            skipped.failed = f"not begun: {args.seconds:g} s were over"
            rows.append(skipped)
        else:
            rows.append(measure(tiny(published) if args.tiny else published, device))
        write(rows, device, args.out, is_tiny=args.tiny)
        print(f"{time.monotonic() - start:.1f} s {cells(rows[-1])}", flush=True)
    return rows


if __name__ == "__main__":
    main()
