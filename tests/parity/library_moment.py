"""Run by the Python of an environment that has momentfm: its forecasts of cases (folders).

It imports nothing of this project.
"""

import json
import sys
from pathlib import Path

import torch
from momentfm import MOMENTPipeline
from safetensors.torch import load_file, save_file


def moment(folder: Path, case: dict, window: torch.Tensor) -> torch.Tensor:
    model = MOMENTPipeline.from_pretrained(str(folder / "backbone"), strict=True).eval()
    context = torch.full((len(window), model.config.seq_len), float("nan"))
    context[:, -case["context"] :] = window[:, : case["context"]]
    observed = torch.isfinite(context).long()
    return model(x_enc=context[:, None], input_mask=observed).forecast[:, 0]


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        read = json.loads((place / "case.json").read_text(encoding="utf-8"))
        given = load_file(place / "window.safetensors")["window"]
        with torch.no_grad():
            found = moment(place, read, given)
        save_file({"forecast": found.contiguous()}, place / "found.safetensors")
