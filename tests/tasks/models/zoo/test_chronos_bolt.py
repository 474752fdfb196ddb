"""Chronos-Bolt at a tiny size."""

from pathlib import Path

import pytest
import torch

from tasks.models.zoo.family import ZooModel
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract

pytest.importorskip("chronos")

SHAPE = {
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
    from tasks.models.families import zoo_class

    torch.manual_seed(0)
    return (
        zoo_class("chronos_bolt")
        .create(
            SHAPE,
            Windows(context=CONTEXT, horizon=HORIZON),
            family="chronos_bolt",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


class TestChronosBolt(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        from chronos import BaseChronosPipeline

        pipeline = BaseChronosPipeline.from_pretrained(folder)
        assert type(pipeline).__name__ == "ChronosBoltPipeline"
        _, mean = pipeline.predict_quantiles(context, prediction_length=horizon)
        return mean
