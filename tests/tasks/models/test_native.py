"""Surgery is exact, folders round-trip, transformers reads the saved backbone."""

import pytest
import torch
from torch import Tensor

from tasks.errors import CheckpointError, MaskError
from tasks.masks.trie import forecasts
from tasks.models.backbones import FusedRMSNorm
from tasks.models.interface import LossSpec, Outputs, loss_between
from tasks.models.native import NativeModel
from tasks.models.registry import load_model
from tasks.training.parts import frozen_names
from tasks.training.seam import repair_seams
from tests.tasks.models.reading import assert_transformers_reads_it
from tests.tiny import CONTEXT, HORIZON, tiny_model, tiny_windows

KEEPS = [(1, 3), (0, 2, 4), (2,), (0,), (), (4,), (0, 1, 2, 3, 4)]
BACKBONES = ("gpt2", "qwen3", "llama")
HEADS = ("per_token", "flatten", "next_patch")
SHAPES = [(b, h) for b in BACKBONES for h in HEADS]


def forecast(model: NativeModel, horizon: int = HORIZON) -> Tensor:
    with torch.no_grad():
        return model.forecast(tiny_windows()[:, :CONTEXT], horizon).mean


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
@pytest.mark.parametrize("keep", KEEPS)
def test_removal_equals_skipping_bit_for_bit(backbone, head, keep):
    model = tiny_model(backbone, head=head)
    removed = forecast(model.with_blocks(keep))
    with model.skipping([block for block in range(5) if block not in keep]):
        skipped = forecast(model)
    with model.only(keep):
        only = forecast(model)
    assert torch.equal(removed, skipped)
    assert torch.equal(removed, only)


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
def test_every_block_matters_and_the_model_is_whole_again_after_only(backbone, head):
    model = tiny_model(backbone, head=head)
    before = forecast(model)
    for dropped in range(5):
        with model.only([block for block in range(5) if block != dropped]):
            assert not torch.allclose(forecast(model), before, atol=1e-5)
    assert torch.equal(forecast(model), before)
    assert model.num_blocks == 5


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
def test_saved_model_loads_strictly_and_can_be_pruned_again(backbone, head, tmp_path):
    model = tiny_model(backbone, head=head).with_blocks((1, 2, 4))
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.kept == (1, 2, 4)
    assert torch.equal(forecast(loaded), forecast(model))
    again = loaded.with_blocks((0, 2))
    assert again.kept == (1, 4)
    assert torch.equal(
        forecast(again), forecast(tiny_model(backbone, head=head).with_blocks((1, 4)))
    )


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("keep", [(0, 3), (1, 3)])
def test_transformers_loads_the_saved_backbone_whole(backbone, keep, tmp_path):
    model = tiny_model(backbone).with_blocks(keep)
    assert_transformers_reads_it(model, tmp_path)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_cached_decoding_of_a_pruned_backbone_agrees_with_uncached(backbone):
    decoder = tiny_model(backbone, blocks=6).with_blocks((2, 4)).backbone
    embedded = torch.randn(2, 4, 16)
    with torch.no_grad():
        whole = decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state
        first = decoder(inputs_embeds=embedded[:, :2], use_cache=True)
        rest = decoder(
            inputs_embeds=embedded[:, 2:], use_cache=True, past_key_values=first.past_key_values
        )
    torch.testing.assert_close(rest.last_hidden_state, whole[:, 2:])


@pytest.mark.parametrize("keep", [(0, 0), (5,), (-1,)])
def test_impossible_masks_are_refused(keep):
    with pytest.raises(MaskError, match=r"keep must name distinct blocks 0\.\.4 of the model; got"):
        tiny_model().with_blocks(keep)


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
def test_horizons_shorter_and_longer_than_native(backbone, head):
    model = tiny_model(backbone, head=head)
    native = forecast(model)
    assert torch.equal(forecast(model, 5), native[:, :5])
    longer = forecast(model, 2 * HORIZON + 3)
    assert longer.shape == (8, 2 * HORIZON + 3)
    assert torch.equal(longer[:, :HORIZON], native)


@pytest.mark.parametrize("head", HEADS)
def test_forecasts_follow_scale_and_shift_of_the_context(head):
    model, context = tiny_model(head=head), tiny_windows()[2:, :CONTEXT]
    with torch.no_grad():
        plain = model.forecast(context, HORIZON).mean
        moved = model.forecast(3 * context + 7, HORIZON).mean
    torch.testing.assert_close(moved, 3 * plain + 7, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("head", HEADS)
def test_missing_values_give_finite_forecasts_and_losses(head):
    model = tiny_model(head=head)
    windows = tiny_windows()
    windows[3, :CONTEXT] = float("nan")  # nothing observed at all
    outputs = model.outputs(windows)
    assert torch.isfinite(outputs.prediction).all()
    assert torch.isfinite(model.forecast(windows[:, :CONTEXT], HORIZON).mean).all()
    assert not outputs.observed[1, -1, 2:5].any()


def test_per_token_targets_are_the_values_that_follow_each_token():
    model, windows = tiny_model(), tiny_windows()
    outputs = model.outputs(windows)
    assert outputs.target.shape == (8, 4, HORIZON)
    mean = windows[5, :CONTEXT].mean()
    expected = (windows[5, 32 : 32 + HORIZON] - mean) / outputs.scale[5, 0, 0]
    torch.testing.assert_close(outputs.target[5, 1], expected)


def test_next_patch_targets_are_the_patch_that_follows_each_token():
    windows = tiny_windows()
    outputs = tiny_model(head="next_patch", horizon=HORIZON).outputs(windows)
    assert outputs.target.shape == (8, 4, 16)
    normalised = (windows[5] - windows[5, :CONTEXT].mean()) / outputs.scale[5, 0, 0]
    torch.testing.assert_close(outputs.target[5], normalised[16:80].view(4, 16))


def test_a_patch_beyond_the_window_is_not_observed():
    windows = tiny_windows()[:, : CONTEXT + 6]
    outputs = tiny_model(head="next_patch", horizon=6).outputs(windows)
    assert outputs.prediction.shape == outputs.target.shape == (8, 4, 16)
    assert outputs.observed[5, -1].tolist() == [True] * 6 + [False] * 10
    assert outputs.observed[5, :-1].all()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_next_patches_are_rolled_over_a_horizon_longer_than_a_patch(backbone):
    model, context = (
        tiny_model(backbone, head="next_patch", horizon=40),
        tiny_windows()[:, :CONTEXT],
    )
    with torch.no_grad():
        whole = model.forecast(context, 40).mean
        first = model.forecast(context, 16).mean
        moved = torch.cat([context, first], dim=1)[:, 16:]
        second = model.forecast(moved, 16).mean
    assert whole.shape == (8, 40)
    assert torch.equal(whole[:, :32], torch.cat([first, second], dim=1))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_many_masks_of_rolled_next_patches_equal_each_alone(backbone):
    model, context = (
        tiny_model(backbone, head="next_patch", horizon=40),
        tiny_windows()[:, :CONTEXT],
    )
    for place, found in forecasts(model, KEEPS, context, 40):
        with model.only(KEEPS[place]), torch.no_grad():
            assert torch.equal(found, model.forecast(context, 40).mean)


def test_seams_of_rolled_models_are_measured_on_one_pass():
    """Rolled, the two models would see different contexts: each its own forecasts."""
    short, long = (tiny_model(head="next_patch", horizon=horizon) for horizon in (16, 40))
    repaired = [model.with_blocks((0, 3)) for model in (short, long)]
    for smaller, larger in zip(repaired, (short, long), strict=True):
        repair_seams(smaller, larger, tiny_windows(), ridge=1e-2)
    states = [model.state_dict() for model in repaired]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    changed = "backbone.h.0.mlp.c_proj.weight"
    assert not torch.equal(states[0][changed], short.state_dict()[changed])


def test_autotimes_trains_embedding_and_head_only():
    model = tiny_model("gpt2", family="llm4ts", head="next_patch")
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"embedding.weight", "embedding.bias", "head.weight", "head.bias"}
    assert frozen_names(model, "kept_blocks") == frozenset()  # or nothing would be trained


@pytest.mark.parametrize("backbone", ["llama", "qwen3"])
def test_every_rms_norm_is_the_fused_one(backbone):
    norms = [m for m in tiny_model(backbone).modules() if "RMSNorm" in type(m).__name__]
    assert len(norms) >= 11
    assert {type(norm) for norm in norms} == {FusedRMSNorm}


def test_llm4ts_trains_norms_positions_embedding_and_head_only():
    model = tiny_model("gpt2", family="llm4ts")
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert "backbone.wpe.weight" in trained
    assert {"embedding.weight", "head.weight", "backbone.ln_f.weight"} <= trained
    assert not any("attn" in name or "mlp" in name or "wte" in name for name in trained)


def test_parameter_counts_leave_the_bypassed_token_embedding_out_of_used():
    model = tiny_model("qwen3")
    counts = model.parameter_counts()
    assert counts["all"] - counts["used"] == 16
    assert counts["blocks"] < counts["used"]


def change_byte(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: change_byte(f / "model.safetensors", -3), "weights were altered"),
        (lambda f: change_byte(f / "backbone/model.safetensors", -3), "weights were altered"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:100]
            ),
            "not a whole safetensors file",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "missing; run its stage again"),
        (lambda f: (f / "config.json").unlink(), r"holds no config\.json"),
        (lambda f: (f / "config.json").write_text("{"), "not a model config"),
        (
            lambda f: (f / "config.json").write_text(
                (f / "config.json").read_text().replace('"n_layer": 5', '"n_layer": 4')
            ),
            r"weights do not fit config\.json",
        ),
    ],
)
def test_damaged_folders_are_refused_with_one_line(harm, message, tmp_path):
    tiny_model().save(tmp_path)
    harm(tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan")
    model.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"tensor head\.weight holds a weight"):
        load_model(tmp_path)


def test_last_weight_moves_the_loss_to_the_position_that_forecasts():
    with torch.no_grad():
        outputs = tiny_model().outputs(tiny_windows()[2:])

    def loss(weight: float) -> float:
        spec = LossSpec(last_weight=weight)
        return loss_between(outputs.prediction, outputs.target, outputs, spec).item()

    errors = ((outputs.prediction - outputs.target) * outputs.scale).square()
    assert loss(1) == pytest.approx(float(errors.mean()))
    assert loss(1e6) == pytest.approx(float(errors[:, -1].mean()), rel=1e-3)


@pytest.mark.parametrize(("kind", "expected"), [("mse", 4.5), ("huber", 1.25)])
def test_losses_by_hand(kind, expected):
    """Errors 0, 3 and 1, of which the last is not observed."""
    prediction = torch.tensor([[[1.0, 3.0, 1.0]]])
    observed = torch.tensor([[[True, True, False]]])
    target = torch.tensor([[[1.0, 0.0, 0.0]]])
    outputs = Outputs(prediction, target, observed, torch.ones(1, 1, 1))
    loss = loss_between(prediction, target, outputs, LossSpec(kind=kind))
    assert float(loss) == pytest.approx(expected)
