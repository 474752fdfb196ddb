"""Chronos-2 at a tiny size."""

import warnings
from pathlib import Path

import pytest
import torch

from tasks.errors import ParamsError
from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.scorers.gates import gated
from tasks.sections.data import Windows
from tasks.training.seam import repair_seams
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.loading import assert_loads_whole

pytest.importorskip("chronos")

SHAPE = {
    "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 4, "num_heads": 4, "dropout_rate": 0.0,
    "initializer_factor": 0.3, "reg_token_id": 1,
    "chronos_config": {
        "context_length": 128, "output_patch_size": 8, "input_patch_size": 8,
        "input_patch_stride": 8, "quantiles": [0.01, *(n / 10 for n in range(1, 10)), 0.99],
        "use_reg_token": True, "use_arcsinh": True, "max_output_patches": 4,
    },
}  # fmt: skip


def tiny(shape: dict = SHAPE, horizon: int = HORIZON) -> ZooModel:
    """Four blocks."""
    torch.manual_seed(0)
    return (
        zoo_class("chronos2")
        .create(
            shape,
            Windows(context=CONTEXT, horizon=horizon),
            family="chronos2",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


class TestChronos2(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        from chronos import BaseChronosPipeline
        from chronos.chronos2 import Chronos2Model

        assert_loads_whole(Chronos2Model, folder)
        pipeline = BaseChronosPipeline.from_pretrained(folder)
        assert type(pipeline).__name__ == "Chronos2Pipeline"
        _, mean = pipeline.predict_quantiles(context[:, None], prediction_length=horizon)
        return torch.cat(mean)

    def test_a_short_forecast_begins_a_long_one(self, model, context):
        """Of as many patches: the patches of the future see each other."""
        long = self.mean(model, context, HORIZON)
        for horizon in (9, 12):
            torch.testing.assert_close(self.mean(model, context, horizon), long[:, :horizon])


@pytest.mark.parametrize("horizon", [5, 32, 75])
def test_quantiles_are_the_librarys_within_its_own_horizon_and_beyond(horizon):
    from chronos import Chronos2Pipeline

    model, context = tiny(), windows()[:, :CONTEXT]
    levels = [0.1, 0.5, 0.9]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = model.forecast(context, horizon).quantiles
        expected, _ = Chronos2Pipeline(model.backbone).predict_quantiles(
            context[:, None], prediction_length=horizon, quantile_levels=levels
        )
    for place, level in enumerate(levels):
        torch.testing.assert_close(found[level], torch.cat(expected)[..., place])


def test_a_series_is_forecast_alone():
    model, context = tiny(), windows()[:, :CONTEXT]
    with torch.no_grad():
        together, alone = model.forecast(context, 8).mean, model.forecast(context[2:3], 8).mean
    torch.testing.assert_close(together[2:3], alone)


def test_the_loss_leaves_missing_targets_out():
    model, batch = tiny(), windows()
    loss = model.outputs(batch).loss
    gone = torch.isnan(batch[:, CONTEXT:])
    found = model.backbone(
        context=batch[:, :CONTEXT],
        future_target=batch[:, CONTEXT:].nan_to_num(1e6),
        future_target_mask=~gone,
        num_output_patches=2,
    ).loss
    assert gone.any()
    torch.testing.assert_close(loss, found)


def test_a_horizon_beyond_the_librarys_is_trained_as_far_as_it_goes():
    outputs = tiny(horizon=40).outputs(windows(length=CONTEXT + 40))
    assert outputs.prediction.shape == (4, 1, 32)
    assert torch.isfinite(outputs.loss)


def test_building_leaves_the_config_as_it_was():
    model = tiny()
    assert model.complete(model.library_config()) == model.library_config()
    assert "time_encoding_scale" not in SHAPE["chronos_config"]


def test_without_chronos_config_it_is_refused():
    shape = {key: value for key, value in SHAPE.items() if key != "chronos_config"}
    with pytest.raises(ParamsError, match="chronos2 needs `chronos_config`"):
        tiny(shape)


def test_gates_work_on_blocks_that_return_a_model_output():
    model, context = tiny(), windows()[:, :CONTEXT]
    with torch.no_grad():
        whole = model.forecast(context, HORIZON).mean
        with gated(model.all_blocks(), torch.ones(4)):
            torch.testing.assert_close(model.forecast(context, HORIZON).mean, whole)
        with gated(model.all_blocks(), torch.tensor([0.0, 1.0, 0.0, 1.0])):
            found = model.forecast(context, HORIZON).mean
        torch.testing.assert_close(found, model.with_blocks([1, 3]).forecast(context, HORIZON).mean)


def test_a_seam_is_repaired_and_the_repair_brings_the_forecasts_nearer():
    model, batch = tiny(), windows(64)
    smaller = model.with_blocks([0, 3])
    before = smaller.state_dict()["backbone.encoder.block.0.layer.2.mlp.wo.weight"].clone()

    def gap():
        with torch.no_grad():
            found = smaller.forecast(batch[:, :CONTEXT], HORIZON).mean
            return (found - model.forecast(batch[:, :CONTEXT], HORIZON).mean).square().mean()

    unrepaired = gap()
    repair_seams(smaller, model, batch, ridge=1e-4)
    assert not torch.equal(smaller.backbone.encoder.block[0].layer[2].mlp.wo.weight, before)
    assert gap() < unrepaired


def test_activation_checkpointing_is_refused_in_one_line():
    with pytest.raises(ParamsError, match="activation_checkpointing: chronos2 cannot do it"):
        tiny().checkpoint_activations()
