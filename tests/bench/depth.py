"""Latency of full and of shallower models with random weights: what depth alone buys.

    python -m tests.bench.depth --preset gpu --models tsfm-base tsfm-large

Latency does not depend on the weights, so that nothing is trained; `make study-gpu` measures the
pruned models themselves. Kept are the first blocks, as many as the preset's largest share.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

from tasks.artifacts.files import write_csv
from tasks.masks.mask import first_mask, sizes_of
from tasks.measure import machine_label, measure_latency
from tasks.models.base import ForecastModel
from tasks.models.build import build_model
from tasks.params import Params, validate_params
from tasks.presets import load_preset
from tasks.runtime import pick_device, run_stage
from tests.bench.zoo_speed import building


def random_model(params: Params, name: str, device: torch.device) -> ForecastModel:
    """A model of the preset, its weights drawn where they lie: on a GPU that takes no time."""
    entry, scale = params.models[name], params.scale_of(name)
    with building(device, torch.float32):
        model, _ = build_model(entry, scale, params.windows, seed=0, pretrained=Path())
    return model.eval()


def latency_rows(params: Params, name: str) -> list[dict[str, object]]:
    """One row for each batch size: medians in milliseconds, full over pruned."""
    device = pick_device(params.runtime.device)
    full = random_model(params, name, device)
    size = max(sizes_of(params.search.shares, full.num_blocks))
    pruned = full.with_blocks(first_mask(full.num_blocks, size))
    found = measure_latency(
        {"full": full, "pruned": pruned}, params, threads=[1], what=f"depth {name}"
    )
    return [
        {
            "model": name,
            "parameters": full.parameter_counts()["used"],
            "blocks": full.num_blocks,
            "kept": size,
            "setting": setting,
            "full_ms": round(latency.p50_ms, 3),
            "pruned_ms": round(found["pruned"][setting].p50_ms, 3),
            "speedup": round(latency.p50_ms / found["pruned"][setting].p50_ms, 3),
            "machine": machine_label(device),
        }
        for setting, latency in found["full"].items()
    ]


def main(argv: list[str]) -> None:
    """Measures the models that are named, or all of the preset."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.depth",
        description="Latency of full and shallower models with random weights.",
    )
    parser.add_argument("--preset", default="gpu", help="(default: %(default)s)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="(default: all of the preset)")
    parser.add_argument("--csv", type=Path, help="also written there")
    args = parser.parse_args(argv)
    params = validate_params(load_preset(Path("params.yaml"), args.preset), args.preset)
    names = args.models or list(params.run.models)
    if unknown := [name for name in names if name not in params.models]:
        parser.error(f"there is no model {unknown[0]!r}; models: {', '.join(params.run.models)}")
    table = pd.DataFrame([row for name in names for row in latency_rows(params, name)])
    print(table.drop(columns="machine").to_string(index=False))
    print(table["machine"].iloc[0])
    if args.csv:
        write_csv(args.csv, table)


if __name__ == "__main__":
    run_stage(main)
