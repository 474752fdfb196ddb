"""Chronos-Bolt at a tiny size: as a model, and as a folder that its own library saved."""

import copy
from pathlib import Path
from typing import Any

import torch

from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.sections.data import Windows
from tasks.sections.zoo import ZooEntry
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON

WINDOWS = Windows(context=CONTEXT, horizon=HORIZON)
SHAPE: dict[str, Any] = {
    "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 3, "num_decoder_layers": 2,
    "num_heads": 4, "vocab_size": 2, "pad_token_id": 0, "eos_token_id": 1,
    "decoder_start_token_id": 0, "reg_token_id": 1, "initializer_factor": 0.3, "dropout_rate": 0.0,
    "chronos_config": {
        "context_length": 128, "prediction_length": 32, "input_patch_size": 8,
        "input_patch_stride": 8, "quantiles": [n / 10 for n in range(1, 10)], "use_reg_token": True,
    },
}  # fmt: skip


def tiny() -> ZooModel:
    """Five blocks: three of the encoder and two of the decoder."""
    torch.manual_seed(0)
    return (
        zoo_class("chronos_bolt")
        .create(
            SHAPE,
            WINDOWS,
            family="chronos_bolt",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


def save_as_library(
    folder: Path, dtype: torch.dtype = torch.float32, *, width: int = 32, **options: object
) -> Any:
    """The library's module in that precision, saved by its own `save_pretrained`."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    torch.manual_seed(1)
    config = T5Config.from_dict(
        copy.deepcopy(SHAPE) | {"d_model": width, "chronos_pipeline_class": "ChronosBoltPipeline"}
    )
    module = ChronosBoltModelForForecasting(config).eval().to(dtype)
    module.save_pretrained(folder, **options)
    return module


def folder_entry(folder: Path, **changes: object) -> ZooEntry:
    """The entry of a model that starts from a folder."""
    start = {"kind": "folder", "path": str(folder)}
    return ZooEntry.model_validate({"family": "chronos_bolt", "start": start} | changes)
