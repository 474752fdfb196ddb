"""Chronos-Bolt at a tiny size, and the position bias that pruning must carry along."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from tasks.errors import CheckpointError, ParamsError
from tasks.models.build import build_model
from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.loading import assert_loads_whole
from tests.tasks.models.zoo.tiny_bolt import SHAPE, WINDOWS, folder_entry, tiny

pytest.importorskip("chronos")


class TestChronosBolt(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        from chronos import BaseChronosPipeline
        from chronos.chronos_bolt import ChronosBoltModelForForecasting

        assert_loads_whole(ChronosBoltModelForForecasting, folder)
        pipeline = BaseChronosPipeline.from_pretrained(folder)
        assert type(pipeline).__name__ == "ChronosBoltPipeline"
        _, mean = pipeline.predict_quantiles(context, prediction_length=horizon)
        return mean


def bias_of(model: ZooModel, part: str) -> torch.Tensor:
    attention = getattr(model.backbone, part).block[0].layer[0].SelfAttention
    return attention.relative_attention_bias.weight


def without_the_bias(model, path: str) -> nn.Module:
    """The backbone whose first block of a stack is cut off with the position bias it holds."""
    naive = copy.deepcopy(model.backbone)
    blocks = naive.get_submodule(path)
    naive.get_submodule(path.split(".", maxsplit=1)[0]).block = nn.ModuleList(blocks[1:])
    return naive


@pytest.fixture
def biased():
    """A model whose position biases are as large as those of a trained one."""
    model = tiny()
    with torch.no_grad():
        for part in (model.backbone.encoder, model.backbone.decoder):
            attention = part.block[0].layer[0].SelfAttention
            nn.init.normal_(attention.relative_attention_bias.weight)
    return model


def test_without_its_bias_a_stack_would_be_blind_to_position(biased):
    """The encoder's: the decoder has one token only, whose distance to itself is always 0."""
    context, keep = windows()[1:, :CONTEXT], [1, 2, 3, 4]
    smaller, naive = biased.with_blocks(keep), without_the_bias(biased, "encoder.block")
    assert torch.equal(bias_of(smaller, "encoder"), bias_of(biased, "encoder"))
    with torch.no_grad():
        found = smaller.forecast(context, HORIZON).mean
        blind = naive(context=context).quantile_preds[:, 4, :HORIZON]
        with biased.only(keep):
            torch.testing.assert_close(biased.forecast(context, HORIZON).mean, found)
    assert (found - blind).abs().max() > 1e-3


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_folder_without_the_bias_would_get_a_random_one(biased, part, tmp_path):
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    naive = without_the_bias(biased, f"{part}.block")
    depth = "num_layers" if part == "encoder" else "num_decoder_layers"
    setattr(naive.config, depth, len(naive.get_submodule(f"{part}.block")))
    naive.save_pretrained(tmp_path / "naive")
    _, loading = ChronosBoltModelForForecasting.from_pretrained(
        tmp_path / "naive", output_loading_info=True
    )
    name = f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert loading["missing_keys"] == {name}
    entry = folder_entry(tmp_path / "naive")
    with pytest.raises(CheckpointError, match=rf"not a whole chronos_bolt checkpoint.*{name}"):
        build_model(entry, None, WINDOWS, seed=0, pretrained=tmp_path)


def test_pruned_twice_the_bias_is_still_the_first_one(biased):
    twice = biased.with_blocks([1, 2, 4]).with_blocks([1, 2])
    for part in ("encoder", "decoder"):
        assert torch.equal(bias_of(twice, part), bias_of(biased, part))


def test_a_decoder_deeper_than_its_encoder_forecasts_the_same_in_its_own_library(tmp_path):
    from chronos import BaseChronosPipeline

    smaller, context = tiny().with_blocks([1, 3, 4]), windows()[:, :CONTEXT]
    smaller.save(tmp_path)
    pipeline = BaseChronosPipeline.from_pretrained(tmp_path / "backbone")
    _, mean = pipeline.predict_quantiles(context, prediction_length=HORIZON)
    with torch.no_grad():
        torch.testing.assert_close(smaller.forecast(context, HORIZON).mean, mean)


def test_without_chronos_config_it_is_refused():
    shape = {key: value for key, value in SHAPE.items() if key != "chronos_config"}
    with pytest.raises(ParamsError, match="chronos_bolt needs `chronos_config`"):
        zoo_class("chronos_bolt").build_backbone(shape)
