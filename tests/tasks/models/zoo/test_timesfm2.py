"""TimesFM 2.0 at a tiny size."""

from pathlib import Path

import pytest
import torch

from tasks.errors import CheckpointError, ParamsError
from tasks.models.families import zoo_class
from tasks.models.interface import LossSpec, task_loss
from tasks.models.zoo.family import ZooModel
from tasks.sections.data import Windows
from tasks.training.seam import repair_seams
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.reading import imported, read_whole

BLOCK = 24  # steps per call, more than HORIZON and no multiple of it
SHAPE = {
    "num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 32, "head_dim": 8,
    "num_attention_heads": 4, "patch_length": 8, "context_length": 96, "horizon_length": BLOCK,
    "initializer_range": 0.2,
}  # fmt: skip


def tiny(shape: dict = SHAPE, options: dict | None = None) -> ZooModel:
    """Four blocks."""
    torch.manual_seed(0)
    return (
        zoo_class("timesfm2")
        .create(
            shape,
            Windows(context=CONTEXT, horizon=HORIZON),
            family="timesfm2",
            origin="random initialisation",
            options=options or {},
        )
        .eval()
    )


class TestTimesFm2(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        from transformers import TimesFmModelForPrediction

        model = read_whole(TimesFmModelForPrediction, folder)
        with torch.no_grad():
            return model(past_values=list(context), freq=[0] * 3).mean_predictions[:, :horizon]

    def test_native_loss_is_the_librarys_on_normalised_windows(self, model):
        made = windows(4, CONTEXT + BLOCK, seed=3).nan_to_num(5.0)
        context = made[:, :CONTEXT]
        made = (made - context.mean(1, keepdim=True)) / context.std(1, keepdim=True, correction=0)
        wide = tiny_with_horizon(BLOCK)
        wide.load_state_dict(model.state_dict())
        with torch.no_grad():
            expected = wide.backbone(
                past_values=list(made[:, :CONTEXT]), freq=[0] * 4, future_values=made[:, CONTEXT:]
            ).loss
            found = wide.outputs(made).loss
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    def test_native_loss_does_not_depend_on_the_units(self, model):
        made = windows()
        large = 3 + 1000 * made
        losses = [task_loss(model.outputs(one), LossSpec(kind="native")) for one in (made, large)]
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-3)

    def test_native_loss_leaves_missing_targets_out(self, model):
        made = windows()[1:2]  # with a gap in its target
        assert torch.isnan(made[:, CONTEXT:]).any()
        filled = made.clone()
        filled[:, CONTEXT:] = made[:, CONTEXT:].nan_to_num(1e6)
        found = model.outputs(made).loss
        assert torch.isfinite(found)
        assert model.outputs(filled).loss > 1e3 * found


def tiny_with_horizon(horizon: int) -> ZooModel:
    model = tiny()
    model.config = model.config.model_copy(update={"horizon": horizon})
    return model


class TestRolling:
    def test_beyond_one_block_point_forecasts_join_the_context(self):
        model, context = tiny(), windows()[:, :CONTEXT]
        with torch.no_grad():
            whole = model.forecast(context, 2 * BLOCK + 3)
            first = model.forecast(context, BLOCK).mean
            second = model.forecast(torch.cat([context, first], 1), BLOCK)
        torch.testing.assert_close(whole.mean[:, :BLOCK], first)
        torch.testing.assert_close(whole.mean[:, BLOCK : 2 * BLOCK], second.mean)
        assert whole.quantiles is not None
        assert second.quantiles is not None
        torch.testing.assert_close(
            whole.quantiles[0.9][:, BLOCK : 2 * BLOCK], second.quantiles[0.9]
        )

    def test_a_forecast_does_not_depend_on_what_else_is_in_the_batch(self):
        model, context = tiny(), windows(6)[:, :CONTEXT]
        context[2, :21] = float("nan")  # a shorter series among longer ones
        with torch.no_grad():
            together = model.forecast(context, HORIZON).mean
            alone = torch.cat([model.forecast(row[None], HORIZON).mean for row in context])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


class TestSeams:
    def test_repair_brings_a_pruned_model_nearer_to_the_whole_one(self):
        model, made = tiny(), windows(32, seed=5)[2:]
        smaller, context = model.with_blocks([0, 2]), made[:, :CONTEXT]
        with torch.no_grad():
            whole, before = (one.forecast(context, HORIZON).mean for one in (model, smaller))
            repair_seams(smaller, model, made, ridge=1e-3)
            after = smaller.forecast(context, HORIZON).mean
        assert (after - whole).square().mean() < (before - whole).square().mean()

    def test_no_linear_map_makes_the_first_states(self):
        model = tiny()
        with pytest.raises(ParamsError, match="none before its first block"):
            repair_seams(model.with_blocks([1, 2, 3]), model, windows(), ridge=1e-3)


class TestOptions:
    def test_frequency_takes_part_in_the_forecast(self):
        context = windows()[:, :CONTEXT]
        with torch.no_grad():
            high, low = (
                tiny(options=options).forecast(context, HORIZON).mean
                for options in ({}, {"frequency": 2})
            )
        assert not torch.equal(high, low)

    @pytest.mark.parametrize("frequency", [3, "0", True, 1.0])
    def test_there_are_three_frequencies(self, frequency):
        with pytest.raises(ParamsError, match="frequency: must be 0"):
            tiny(options={"frequency": frequency})

    def test_other_options_are_refused(self):
        with pytest.raises(ParamsError, match="no option 'freq'"):
            tiny(options={"freq": 0})


class TestConfig:
    def test_a_misspelt_field_is_refused(self):
        with pytest.raises(ParamsError, match="no field 'num_layers'"):
            tiny({**SHAPE, "num_layers": 2})

    def test_a_value_of_the_wrong_type_is_refused_on_one_line(self):
        with pytest.raises(ParamsError, match="num_hidden_layers") as caught:
            tiny({**SHAPE, "num_hidden_layers": "four"})
        assert "\n" not in str(caught.value)

    def test_a_checkpoint_of_another_family_is_refused(self):
        with pytest.raises(CheckpointError, match="model_type must be 'timesfm', got 'patchtst'"):
            tiny({**SHAPE, "model_type": "patchtst"})


def test_a_checkpoint_is_imported_with_its_weights(tmp_path):
    model, context = tiny(), windows()[:, :CONTEXT]
    model.save(tmp_path)
    found = imported("timesfm2", tmp_path / "backbone", Windows(context=CONTEXT, horizon=HORIZON))
    with torch.no_grad():
        expected = model.forecast(context, HORIZON).mean
        assert torch.equal(found.forecast(context, HORIZON).mean, expected)
    assert found.library_config() == model.library_config()
