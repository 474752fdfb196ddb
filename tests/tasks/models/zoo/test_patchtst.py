"""PatchTST at a tiny size."""

from pathlib import Path

import pytest
import torch

from tasks.errors import ParamsError
from tasks.models.families import zoo_class
from tasks.models.registry import load_model
from tasks.models.zoo.family import ZooModel
from tasks.sections.data import Windows
from tasks.training.seam import repair_seams
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.reading import imported, read_whole

SHAPE = {
    "num_hidden_layers": 4, "d_model": 16, "num_attention_heads": 4, "ffn_dim": 32,
    "patch_length": 8, "patch_stride": 8, "pooling_type": None, "init_std": 0.15,
}  # fmt: skip


def tiny(context: int = CONTEXT, horizon: int = HORIZON, **shape: object) -> ZooModel:
    """Four blocks."""
    torch.manual_seed(0)
    return (
        zoo_class("patchtst")
        .create(
            {**SHAPE, **shape},
            Windows(context=context, horizon=horizon),
            family="patchtst",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


def upstream(folder: Path, context: torch.Tensor) -> torch.Tensor:
    """The library's forecasts [B, steps, channels] for contexts [B, length, channels]."""
    from transformers import PatchTSTForPrediction

    with torch.no_grad():
        found = read_whole(PatchTSTForPrediction, folder)(past_values=context)
    return found.prediction_outputs


def forecast_of(model: ZooModel, context: torch.Tensor, horizon: int = HORIZON) -> torch.Tensor:
    with torch.no_grad():
        return model.forecast(context, horizon).mean


class TestPatchTst(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        return upstream(folder, context[..., None])[:, :horizon, 0]


class TestSeveralChannels:
    """A checkpoint of several channels forecasts single ones, and keeps its config."""

    @pytest.mark.parametrize("use_cls_token", [False, True])
    def test_the_library_reads_it_with_its_channels(self, use_cls_token, tmp_path):
        model = tiny(num_input_channels=3, use_cls_token=use_cls_token).with_blocks([1, 3])
        model.save(tmp_path)
        context = windows()[1:, :CONTEXT]
        found = upstream(tmp_path / "backbone", context.T[None])[0].T  # three series as channels
        torch.testing.assert_close(found, forecast_of(model, context), rtol=1e-4, atol=1e-4)
        assert load_model(tmp_path).config.backbone_config["num_input_channels"] == 3

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("share_embedding", False),
            ("share_projection", False),
            ("channel_attention", True),
            ("loss", "nll"),
        ],
    )
    def test_what_single_channels_cannot_do_is_refused(self, field, value):
        with pytest.raises(ParamsError, match=f"shape: {field} must be"):
            tiny(**{field: value})


class TestLengths:
    def test_a_shape_without_lengths_takes_those_of_the_windows(self):
        config = tiny(context=48, horizon=12).config.backbone_config
        assert (config["context_length"], config["prediction_length"]) == (48, 12)

    def test_a_checkpoints_lengths_stay_and_windows_are_fitted_to_them(self):
        model = tiny(context_length=40, prediction_length=10)
        made = windows()
        context = made[:, :CONTEXT]
        first = forecast_of(model, context[:, -40:], 10)
        second = forecast_of(model, torch.cat([context, first], 1), 6)
        torch.testing.assert_close(forecast_of(model, context), torch.cat([first, second], 1))
        outputs = model.outputs(made)
        assert outputs.prediction.shape == (4, 1, 10)
        assert torch.equal(outputs.observed[:, 0], torch.isfinite(made[:, CONTEXT:][:, :10]))

    def test_a_patch_longer_than_the_context_is_refused(self):
        with pytest.raises(ParamsError, match="has to be greater than the patch length"):
            tiny(patch_length=CONTEXT)


def test_missing_values_count_for_neither_mean_nor_scale():
    model, context = tiny(), windows()[1:2, :CONTEXT]
    context[:, 20:30] = float("nan")
    seen: list[torch.Tensor] = []
    hook = model.backbone.model.scaler.register_forward_hook(lambda *args: seen.extend(args[2]))
    forecast_of(model, context)
    hook.remove()
    observed = context[torch.isfinite(context)]
    torch.testing.assert_close(seen[1].flatten(), observed.mean()[None])
    torch.testing.assert_close(
        seen[2].flatten(), (observed.var(correction=0)[None] + 1e-5).sqrt(), rtol=1e-4, atol=1e-5
    )


def test_native_loss_is_the_librarys():
    model, made = tiny(), windows(3, seed=4).nan_to_num(5.0)
    with torch.no_grad():
        expected = model.backbone(
            past_values=made[:, :CONTEXT, None], future_values=made[:, CONTEXT:, None]
        ).loss
        torch.testing.assert_close(model.outputs(made).loss, expected, rtol=1e-4, atol=1e-4)


class TestSeams:
    @pytest.mark.parametrize("keep", [[1, 3], [0, 2]])  # before the first block; behind the last
    def test_repair_brings_a_pruned_model_nearer_to_the_whole_one(self, keep):
        model, made = tiny(), windows(32, seed=5)[2:]
        smaller, context = model.with_blocks(keep), made[:, :CONTEXT]
        whole, before = forecast_of(model, context), forecast_of(smaller, context)
        repair_seams(smaller, model, made, ridge=1e-3)
        after = forecast_of(smaller, context)
        assert (after - whole).square().mean() < (before - whole).square().mean()

    def test_a_post_norm_block_ends_in_no_linear_map(self):
        model = tiny(pre_norm=False)
        assert model.output_map(0) is None
        assert tiny().output_map(0) is not None

    def test_no_linear_map_makes_the_first_states_where_a_class_token_leads(self):
        assert tiny(use_cls_token=True).embedding_map() is None


def test_a_checkpoint_is_imported_with_its_weights(tmp_path):
    model, context = tiny(num_input_channels=3), windows()[:, :CONTEXT]
    model.save(tmp_path)
    found = imported("patchtst", tmp_path / "backbone", Windows(context=CONTEXT, horizon=HORIZON))
    with torch.no_grad():
        expected = model.forecast(context, HORIZON).mean
        assert torch.equal(found.forecast(context, HORIZON).mean, expected)
    assert found.library_config() == model.library_config()
