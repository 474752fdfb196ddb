"""Chronos-T5 at a tiny size."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tasks.errors import ParamsError
from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.sampling import LEVELS, SEED, forecast_of, same_draws
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.loading import assert_loads_whole

pytest.importorskip("chronos")

OWN = 32
SHAPE = {
    "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 3, "num_decoder_layers": 3,
    "num_heads": 4, "vocab_size": 96, "pad_token_id": 0, "eos_token_id": 1,
    "decoder_start_token_id": 0, "initializer_factor": 0.3, "dropout_rate": 0.0,
    "chronos_config": {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -3.0, "high_limit": 3.0},
        "context_length": 128, "prediction_length": OWN, "n_tokens": 96, "n_special_tokens": 2,
        "pad_token_id": 0, "eos_token_id": 1, "use_eos_token": True, "model_type": "seq2seq",
        "num_samples": 4, "temperature": 1.0, "top_k": 50, "top_p": 1.0,
    },
}  # fmt: skip


def tiny(horizon: int = HORIZON, **library: object) -> ZooModel:
    """Six blocks, three of them the decoder's; biases and embeddings that make a difference."""
    shape = SHAPE | {"chronos_config": SHAPE["chronos_config"] | library}
    torch.manual_seed(0)
    model = (
        zoo_class("chronos_t5")
        .create(
            shape,
            Windows(context=CONTEXT, horizon=horizon),
            family="chronos_t5",
            origin="random initialisation",
            options={},
        )
        .eval()
    )
    with torch.no_grad():
        for name, weight in model.backbone.named_parameters():
            if name.endswith("layer_norm.weight"):
                weight.fill_(1)  # else the blocks add little to the tokens' embeddings
        model.backbone.decoder.final_layer_norm.weight.fill_(8)  # some tokens likelier than others
        model.backbone.shared.weight[0] = 0  # the start token, else the likeliest next one
        for block in (model.backbone.encoder.block[0], model.backbone.decoder.block[0]):
            nn.init.normal_(block.layer[0].SelfAttention.relative_attention_bias.weight)
    return model


def generated(backbone, *, use_cache: bool):
    """The logits of every step of a generation that draws its tokens."""
    tokens = torch.randint(3, 96, (3, 20), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    found = backbone.generate(
        tokens, do_sample=True, min_new_tokens=12, max_new_tokens=12, use_cache=use_cache,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    return torch.stack(found.logits)


class TestChronosT5(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        from chronos import BaseChronosPipeline
        from transformers import T5ForConditionalGeneration

        assert_loads_whole(T5ForConditionalGeneration, folder)
        pipeline = BaseChronosPipeline.from_pretrained(folder)
        assert type(pipeline).__name__ == "ChronosPipeline"
        torch.manual_seed(SEED)
        _, mean = pipeline.predict_quantiles(context, prediction_length=horizon)
        return mean


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture
def context():
    return windows()[:, :CONTEXT]


@pytest.mark.parametrize("horizon", [5, OWN, 2 * OWN + 3])
def test_mean_and_quantiles_are_the_librarys_within_its_own_horizon_and_beyond(
    model, context, horizon
):
    from chronos import ChronosPipeline
    from chronos.chronos import ChronosConfig, ChronosModel

    library = ChronosConfig(**SHAPE["chronos_config"])
    pipeline = ChronosPipeline(library.create_tokenizer(), ChronosModel(library, model.backbone))
    with torch.no_grad():
        found = model.forecast(context, horizon)
    torch.manual_seed(SEED)
    quantiles, mean = pipeline.predict_quantiles(context, horizon, quantile_levels=list(LEVELS))
    torch.testing.assert_close(found.mean, mean)
    for place, level in enumerate(LEVELS):
        torch.testing.assert_close(
            found.quantiles[level], quantiles[..., place], rtol=1e-4, atol=1e-4
        )


def test_quantiles_of_paths_are_torchs():
    paths = torch.randn(3, 20, 5)
    for level, values in forecast_of(paths).quantiles.items():
        torch.testing.assert_close(values, torch.quantile(paths, level, dim=1))


def test_sampling_is_repeatable_and_leaves_the_global_generator_alone(model, context):
    torch.manual_seed(5)
    with torch.no_grad():
        first = model.forecast(context, HORIZON).mean
        drawn = torch.rand(3)
    with torch.inference_mode():
        again = model.forecast(context, HORIZON).mean
    torch.manual_seed(5)
    assert torch.equal(first, again)
    assert torch.equal(drawn, torch.rand(3))


def test_paths_are_drawn_so_many_at_a_time(model, monkeypatch):
    drawn = []
    hook = model.backbone.decoder.register_forward_hook(
        lambda _module, _args, output: drawn.append(len(output.last_hidden_state))
    )
    context = windows(8)[:, :CONTEXT]
    try:
        with torch.no_grad():
            assert len(model.forecast(context, 2).mean) == 8
            whole = max(drawn)
            drawn.clear()
            monkeypatch.setattr(sys.modules[type(model).__module__], "PATHS_AT_ONCE", 13)
            made = model.forecast(context, 2).mean
    finally:
        hook.remove()
    assert (whole, max(drawn)) == (8 * 4, 3 * 4)
    assert torch.isfinite(made).all()
    assert made.shape == (8, 2)


@pytest.mark.parametrize("keep", [range(6), [1, 2, 4, 5], [0, 3, 5], [2, 3, 4, 5], [0, 1, 2, 5]])
def test_cached_and_uncached_decoding_of_a_pruned_model_agree(model, keep):
    """Block numbers and depth both follow, and either stack may be the deeper one."""
    smaller = model.with_blocks(keep)
    expected = generated(smaller.backbone, use_cache=False)
    torch.testing.assert_close(generated(smaller.backbone, use_cache=True), expected)
    with model.only(keep):
        torch.testing.assert_close(generated(model.backbone, use_cache=True), expected)
    with model.skipping([block for block in range(6) if block not in keep]):
        torch.testing.assert_close(generated(model.backbone, use_cache=True), expected)


def test_cached_decoding_would_break_with_the_old_block_numbers(model):
    """So the test above can fail: the decoder's list is cut by hand, its bias and depth follow."""
    naive = copy.deepcopy(model.backbone)
    first, *rest = naive.decoder.block
    for name in ("relative_attention_bias", "has_relative_attention_bias"):
        setattr(rest[0].layer[0].SelfAttention, name, getattr(first.layer[0].SelfAttention, name))
    naive.decoder.block = nn.ModuleList(rest)
    expected = generated(model.with_blocks([0, 1, 2, 4, 5]).backbone, use_cache=False)
    torch.testing.assert_close(generated(naive, use_cache=False), expected)
    naive.config.decoder_layers = 2
    with pytest.raises(IndexError):
        generated(naive, use_cache=True)


def test_a_decoder_deeper_than_its_encoder_needs_its_depth_said(model):
    """Else transformers makes a cache as deep as the encoder."""
    smaller = model.with_blocks([2, 3, 4, 5])
    del smaller.backbone.config.decoder_layers
    with pytest.raises(IndexError):
        generated(smaller.backbone, use_cache=True)


def test_the_path_that_gradients_take_is_the_same_uncached(model, context):
    """Rolled out without a cache, value by value, every step the mean given those before it."""
    tokens, observed, scale = model._tokens(context)
    boundaries = model._tokenizer.boundaries
    path = torch.zeros(len(context), 1, dtype=torch.long)
    expected = []
    with torch.no_grad():
        for _ in range(HORIZON):
            logits = model.backbone(
                tokens, attention_mask=observed, decoder_input_ids=path, use_cache=False
            ).logits
            shares = logits[:, -1, 3:].softmax(-1)
            value = shares @ torch.linspace(-3, 3, 93)
            expected.append(value * scale)
            token = torch.bucketize(value, boundaries, right=True) + 2
            path = torch.cat([path, token[:, None]], dim=1)
    found = model.forecast(context, HORIZON).mean
    assert found.requires_grad
    torch.testing.assert_close(found.detach(), torch.stack(expected, 1))


def test_with_gradients_a_long_forecast_is_rolled_too(model, context):
    assert model.forecast(context, 2 * OWN + 3).mean.shape == (4, 2 * OWN + 3)
    assert model.forecast(context, 3).quantiles is None


def test_the_mean_of_many_samples_is_the_expected_value(context):
    """At the first step, where both are given the same; up to special tokens that are drawn."""
    model = tiny(num_samples=1000, top_k=96)
    with torch.no_grad():
        sampled = model.forecast(context[1:3], 1).mean
    expected = model.forecast(context[1:3], 1).mean.detach()
    assert ((sampled - expected).abs() < 0.2 * context[1:3].mean(1, keepdim=True)).all()


@pytest.mark.parametrize("horizon", [HORIZON, OWN])
def test_the_loss_is_the_librarys_with_missing_targets_left_out(horizon):
    model, batch = tiny(horizon), windows(length=CONTEXT + OWN)[:, : CONTEXT + horizon]
    outputs = model.outputs(batch)
    tokenizer = model._tokenizer
    tokens, observed, scale = tokenizer.context_input_transform(batch[:, :CONTEXT])
    target = nn.functional.pad(batch[:, CONTEXT:], (0, OWN - horizon), value=float("nan"))
    labels, known = tokenizer.label_input_transform(target, scale)
    labels = labels.masked_fill(~known, -100)[
        :, : OWN + 1 if horizon == OWN else horizon
    ].contiguous()
    found = model.backbone(tokens, attention_mask=observed, labels=labels)
    torch.testing.assert_close(outputs.loss, found.loss)
    assert (labels == -100).any()
    assert outputs.prediction.shape == (4, 1, horizon)


def test_a_horizon_beyond_the_librarys_is_trained_as_far_as_it_goes():
    outputs = tiny(OWN + 8).outputs(windows(length=CONTEXT + OWN + 8))
    assert outputs.prediction.shape == (4, 1, OWN)


def test_mixed_precision_rounds_no_expected_value(model):
    """Logits of 8 bits give the same values as their copies in 32 bits."""
    logits = torch.randn(4, 5, 96).bfloat16()
    expected = model._expected(logits.float(), torch.full((4,), 100.0))
    with torch.autocast("cpu", torch.bfloat16):
        found = model._expected(logits, torch.full((4,), 100.0))
    torch.testing.assert_close(found, expected)


def test_a_batch_without_any_target_has_the_loss_zero(model):
    batch = windows()
    batch[:, CONTEXT:] = float("nan")
    assert float(model.outputs(batch).loss.detach()) == 0


def test_the_trace_holds_a_state_for_every_step_of_the_decoder(model, context):
    encoder, decoder = model.trace(context)
    assert encoder.hidden.shape == (4, 4, CONTEXT + 1, 32)  # states, batch, tokens, width
    assert decoder.hidden.shape == (4, 4, HORIZON, 32)


def test_tied_weights_are_stored_once(model, tmp_path):
    from safetensors.torch import load_file

    model.save(tmp_path)
    names = set(load_file(tmp_path / "backbone/model.safetensors"))
    assert "shared.weight" in names
    assert not names & {"lm_head.weight", "encoder.embed_tokens.weight"}


def test_the_completed_config_stays_as_it_is():
    """`tie_word_embeddings: false` means unscaled decoder outputs to transformers 5."""
    kind = zoo_class("chronos_t5")
    for shape in (SHAPE, SHAPE | {"tie_word_embeddings": False}):
        whole = kind.complete(copy.deepcopy(shape))
        assert whole["scale_decoder_outputs"] == ("tie_word_embeddings" not in shape)
        assert kind.complete(whole) == whole
    smaller = tiny().with_blocks([2, 3, 4, 5])
    assert smaller.library_config()["decoder_layers"] == 3
    assert kind.complete(smaller.library_config()) == smaller.config.backbone_config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "causal"}, "model_type must be 'seq2seq', got 'causal'"),
        ({"surprise": 1}, "whole `chronos_config`.*unexpected keyword argument 'surprise'"),
    ],
)
def test_configs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ParamsError, match=message):
        tiny(**changes)


def test_without_chronos_config_it_is_refused():
    shape = {key: value for key, value in SHAPE.items() if key != "chronos_config"}
    with pytest.raises(ParamsError, match=r"whole `chronos_config`.* missing 14"):
        zoo_class("chronos_t5").build_backbone(shape)


def test_draws_are_the_same_inside_and_untouched_outside():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with same_draws(torch.device("cpu")):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with same_draws(torch.device("cpu")):
        assert torch.equal(torch.rand(2), inside)
