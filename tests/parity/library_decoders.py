"""Run by the Python of an environment that has sktime: its forecasts of cases (folders).

sktime carries the published code of Sundial, Timer and Time-MoE (`sktime.libs`), all but unchanged.
It imports nothing of this project.
"""

import json
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file

# Importing sktime.utils itself would ask for scikit-learn, which the published code never uses.
_utils = ModuleType("sktime.utils")
_utils.__path__ = [str(distribution("sktime").locate_file("sktime/utils"))]
sys.modules["sktime.utils"] = _utils

from sktime.libs.sundial.modeling_sundial import SundialForPrediction  # noqa: E402
from sktime.libs.timemoe.timemoe import TimeMoeForPrediction  # noqa: E402
from sktime.libs.timer.modeling_timer import TimerForPrediction  # noqa: E402

Found = dict[str, torch.Tensor]


def strictly(kind: Any, folder: Path, **given: object) -> Any:
    """The model of a folder; no tensor may be missing, left over or of another shape."""
    model, report = kind.from_pretrained(folder / "backbone", output_loading_info=True, **given)
    if any(report.values()):
        sys.exit(f"{kind.__name__} does not read what we wrote: {report}")
    return model.eval()


def normed(
    window: torch.Tensor, context: int, *, epsilon: float, correction: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The window by mean and standard deviation of its context; the mean; the deviation."""
    mean = window[:, :context].mean(1, keepdim=True)
    scale = window[:, :context].std(1, keepdim=True, correction=correction) + epsilon
    return (window - mean) / scale, mean, scale


def sundial(folder: Path, case: dict[str, Any], window: torch.Tensor) -> Found:
    model, context = strictly(SundialForPrediction, folder), case["context"]
    series, samples = window[:, :context], case["options"]["samples"]
    torch.manual_seed(case["seed"])
    found = model.generate(series, max_new_tokens=case["horizon"], num_samples=samples)
    values, _, _ = normed(window, context, epsilon=1e-5, correction=0)
    patch, length = model.config.input_token_len, model.config.output_token_lens[-1]
    tokens = -(-context // patch)  # the first may be padded
    torch.manual_seed(case["seed"])
    told = model(
        input_ids=values[:, :context], labels=values[:, context - (tokens - 1) * patch :],
        loss_masks=torch.ones(len(window), tokens), mask_y=torch.ones(len(window), length),
        use_cache=False,
    )  # fmt: skip
    return {"samples": found.flatten(1), "loss": told.loss[None]}


def timer(folder: Path, case: dict[str, Any], window: torch.Tensor) -> Found:
    model, context = strictly(TimerForPrediction, folder), case["context"]
    found = model.generate(window[:, :context], max_new_tokens=case["horizon"])
    patch = model.config.input_token_len
    whole = context // patch * patch
    values, _, _ = normed(window[:, context - whole :], whole, epsilon=0.0, correction=1)
    told = model(
        input_ids=values[:, :whole], labels=values[:, patch:],
        loss_masks=torch.ones(len(window), whole // patch), use_cache=False,
    )  # fmt: skip
    return {"forecast": found, "loss": told.loss[None]}


def time_moe(folder: Path, case: dict[str, Any], window: torch.Tensor) -> Found:
    model = strictly(TimeMoeForPrediction, folder, attn_implementation="eager")
    context, horizon = case["context"], case["horizon"]
    values, mean, scale = normed(window, context, epsilon=0.0, correction=1)
    found = model.generate(values[:, :context].clone(), max_new_tokens=horizon)
    told = model(
        input_ids=values[:, :context].clone(), labels=values[:, 1 : context + 1].clone(),
        loss_masks=torch.ones(len(window), context), use_cache=False, return_dict=True,
    )  # fmt: skip
    return {"forecast": found[:, -horizon:] * scale + mean, "loss": told.loss[None]}


if __name__ == "__main__":
    made = {"sundial": sundial, "timer": timer, "time_moe": time_moe}
    for place in map(Path, sys.argv[1:]):
        read = json.loads((place / "case.json").read_text(encoding="utf-8"))
        given = load_file(place / "window.safetensors")["window"]
        with torch.no_grad():
            found = made[read["family"]](place, read, given)
        found = {name: one.contiguous() for name, one in found.items()}
        save_file(found, place / "found.safetensors")
