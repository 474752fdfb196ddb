"""Run by the Python of an environment that has uni2ts: its forecasts of cases (folders).

It imports nothing of this project.
"""

import json
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

# the library needs jax for this one name in annotations
jaxtyping.PyTree = type("PyTree", (), {"__class_getitem__": classmethod(lambda cls, _item: cls)})


def settings(case: dict) -> dict:
    return {
        "prediction_length": case["horizon"], "context_length": case["context"],
        "target_dim": 1, "feat_dynamic_real_dim": 0, "past_feat_dynamic_real_dim": 0,
    }  # fmt: skip


def moirai(folder: Path, case: dict, window: torch.Tensor) -> dict[str, torch.Tensor]:
    from uni2ts.model.moirai import MoiraiForecast, MoiraiModule

    module = MoiraiModule.from_pretrained(str(folder / "backbone"), strict=True)
    patch = case["options"]["patch_size"]
    forecaster = MoiraiForecast(module=module, patch_size=patch, **settings(case)).eval()
    observed = torch.isfinite(window)[..., None]
    filled = torch.nan_to_num(window)[..., None]
    is_pad = torch.zeros_like(window, dtype=torch.bool)
    past = slice(0, case["context"])
    mixture = forecaster._get_distr(patch, filled[:, past], observed[:, past], is_pad[:, past])
    mean = forecaster._format_preds(patch, mixture.mean[None], 1)[:, 0]
    return {"mean": mean, "loss": forecaster._val_loss(patch, filled, observed, is_pad)}


def moirai2(folder: Path, case: dict, window: torch.Tensor) -> dict[str, torch.Tensor]:
    from uni2ts.model.moirai2 import Moirai2Forecast, Moirai2Module

    module = Moirai2Module.from_pretrained(str(folder / "backbone"), strict=True)
    forecaster = Moirai2Forecast(module=module, **settings(case))
    predictor = forecaster.create_predictor(batch_size=8, device="cpu")
    start = pd.Period("2020-01-01", freq="h")
    series = window[:, : case["context"]].numpy()
    found = predictor.predict([{"start": start, "target": values} for values in series])
    return {"quantiles": torch.tensor(np.stack([one.forecast_array for one in found]))}


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        read = json.loads((place / "case.json").read_text(encoding="utf-8"))
        given = load_file(place / "window.safetensors")["window"]
        with torch.no_grad():
            made = {"moirai": moirai, "moirai2": moirai2}[read["family"]](place, read, given)
        made = {name: one.contiguous() for name, one in made.items()}
        save_file(made, place / "found.safetensors")
