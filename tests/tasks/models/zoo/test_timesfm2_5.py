"""TimesFM 2.5 at a tiny size."""

from pathlib import Path

import pytest
import torch

from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.reading import imported, read_whole

BLOCK = 24
SHAPE = {
    "num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 32, "head_dim": 8,
    "num_attention_heads": 4, "num_key_value_heads": 4, "patch_length": 8, "context_length": 96,
    "horizon_length": BLOCK, "output_quantile_len": 2 * BLOCK, "max_position_embeddings": 96,
    "initializer_range": 0.2,
}  # fmt: skip


def tiny(**shape: object) -> ZooModel:
    """Four blocks."""
    torch.manual_seed(0)
    return (
        zoo_class("timesfm2_5")
        .create(
            {**SHAPE, **shape},
            Windows(context=CONTEXT, horizon=HORIZON),
            family="timesfm2_5",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


class TestTimesFm25(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        from transformers import TimesFm2_5ModelForPrediction

        model = read_whole(TimesFm2_5ModelForPrediction, folder)
        with torch.no_grad():
            return model(past_values=list(context)).mean_predictions[:, :horizon]

    def test_quantiles_are_the_librarys(self, model, context):
        with torch.no_grad():
            expected = model.backbone(past_values=list(context[1:])).full_predictions
            found = model.forecast(context[1:], HORIZON).quantiles
        for column, level in enumerate(sorted(found), start=1):
            wanted = expected[:, :HORIZON, column]
            torch.testing.assert_close(found[level], wanted, rtol=1e-4, atol=1e-4)

    def test_the_trace_is_that_of_the_series_not_of_its_negative(self, model, context):
        plain = tiny(force_flip_invariance=False)
        found, expected = model.trace(context)[0].hidden, plain.trace(context)[0].hidden
        assert torch.equal(found, expected)
        assert model.backbone.config.force_flip_invariance


def forecast_of(model: ZooModel, context: torch.Tensor, horizon: int = HORIZON) -> torch.Tensor:
    with torch.no_grad():
        return model.forecast(context, horizon).mean


class TestLimits:
    """`infer_is_positive`: forecasts of series without negative values have none either."""

    @pytest.fixture
    def context(self) -> torch.Tensor:
        made = windows(6)[:, :CONTEXT] - 4.5
        made[3:] = made[3:].abs()
        made[3, :5] = float("nan")
        return made

    def test_only_series_without_negative_values_are_limited(self, context):
        free = forecast_of(tiny(infer_is_positive=False), context)
        limited = forecast_of(tiny(), context)
        assert (free[3:] < 0).any(), "the test needs negative forecasts"
        assert (free[:3] < 0).any()
        assert torch.equal(limited[:3], free[:3])
        assert torch.equal(limited[3:], free[3:].clamp(min=0))

    def test_a_forecast_does_not_depend_on_what_else_is_in_the_batch(self, context):
        model = tiny()
        alone = torch.cat([forecast_of(model, row[None]) for row in context])
        torch.testing.assert_close(forecast_of(model, context), alone, rtol=1e-4, atol=1e-4)

    def test_training_sees_forecasts_without_limits(self, context):
        window = torch.cat([context, context[:, :HORIZON]], 1)
        free = tiny(infer_is_positive=False).outputs(window).prediction
        assert torch.equal(tiny().outputs(window).prediction, free)


class TestContexts:
    def test_a_context_is_not_padded_to_the_models_longest(self):
        model = tiny(context_length=16384, max_position_embeddings=16384)
        hidden = model.trace(windows()[1:, :CONTEXT])[0].hidden
        assert hidden.shape[2] == CONTEXT // SHAPE["patch_length"]

    def test_padding_changes_no_forecast(self):
        short = windows()[1:, : CONTEXT - 3]
        model = tiny()
        with torch.no_grad():
            padded = model.backbone(past_values=list(short)).mean_predictions[:, :HORIZON]
        torch.testing.assert_close(forecast_of(model, short), padded, rtol=1e-4, atol=1e-4)

    def test_beyond_one_block_point_forecasts_join_the_context(self):
        model, context = tiny(infer_is_positive=False), windows()[:, :CONTEXT]
        first = forecast_of(model, context, BLOCK)
        second = forecast_of(model, torch.cat([context, first], 1), BLOCK)
        whole = forecast_of(model, context, 2 * BLOCK)
        torch.testing.assert_close(whole, torch.cat([first, second], 1), rtol=1e-4, atol=1e-4)


def test_native_loss_pairs_every_quantile_with_its_own_level():
    model = tiny()
    made = windows(5, seed=2)[2:]
    context, target = made[:, :CONTEXT], made[:, CONTEXT:]
    with torch.no_grad():
        found = model.outputs(made).loss
        forecast = tiny(infer_is_positive=False).forecast(context, HORIZON)
    scale = (context.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = ((target - forecast.mean) / scale).square().mean()
    for level, values in forecast.quantiles.items():
        error = (target - values) / scale
        pinball = torch.where(error > 0, level * error, (level - 1) * error).mean()
        expected = expected + pinball / len(forecast.quantiles)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_activation_checkpointing_is_refused_where_the_library_has_none():
    from tasks.errors import ParamsError

    with pytest.raises(ParamsError, match="activation_checkpointing: timesfm2_5 cannot"):
        tiny().checkpoint_activations()


def test_a_checkpoint_is_imported_with_its_weights(tmp_path):
    model, context = tiny(), windows()[:, :CONTEXT]
    model.save(tmp_path)
    found = imported("timesfm2_5", tmp_path / "backbone", Windows(context=CONTEXT, horizon=HORIZON))
    with torch.no_grad():
        expected = model.forecast(context, HORIZON).mean
        assert torch.equal(found.forecast(context, HORIZON).mean, expected)
    assert found.library_config() == model.library_config()
