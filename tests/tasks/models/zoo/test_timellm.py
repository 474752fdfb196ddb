"""Time-LLM at a tiny size on each of its three language models."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tasks.errors import CheckpointError, ParamsError
from tasks.masks.trie import forecasts
from tasks.models.build import build_model
from tasks.models.interface import LossSpec, task_loss
from tasks.models.locate import family_of, stacks_of
from tasks.models.registry import load_model
from tasks.models.stacks import Stack
from tasks.models.upstream import checkpoint_config
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.timellm import TimeLlm
from tasks.scorers.gradients import requiring_gradients
from tasks.sections.data import Windows
from tasks.sections.zoo import ZooEntry
from tasks.training.parts import frozen_names
from tasks.training.seam import repair_seams
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows

WINDOWS = Windows(context=CONTEXT, horizon=HORIZON)
GPT2 = {
    "model_type": "gpt2", "n_embd": 16, "n_layer": 4, "n_head": 2, "vocab_size": 20,
    "n_positions": 32, "initializer_range": 0.2, "bos_token_id": 0, "eos_token_id": 0,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "num_key_value_heads": 1, "intermediate_size": 32, "vocab_size": 20, "bos_token_id": 0,
    "eos_token_id": 0, "initializer_range": 0.2,
}  # fmt: skip
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 8}
OPTIONS = {"d_model": 8, "heads": 2, "d_ff": 12, "prototypes": 6, "prompt_ids": [3, 1, 4, 1, 5]}


def tiny(shape: dict = GPT2, windows: Windows = WINDOWS, **options: object) -> TimeLlm:
    """Four blocks, with a prompt of five tokens."""
    torch.manual_seed(0)
    model = TimeLlm.create(
        shape,
        windows,
        family="timellm",
        origin="random initialisation",
        options=OPTIONS | options,
    )
    return model.eval()


class TimeLlmContract(Contract):
    SHAPE: dict

    def build(self) -> ZooModel:
        return tiny(self.SHAPE)

    def upstream_forecast(self, folder: Path, context: Tensor, horizon: int) -> Tensor:
        """AutoModel reads the language model, which takes the place of ours; the rest is ours."""
        loaded, info = AutoModel.from_pretrained(folder, output_loading_info=True)
        assert {key: value for key, value in info.items() if value} == {}
        ours = load_model(folder.parent)
        assert type(loaded) is type(ours.backbone)
        ours.backbone = loaded.eval()
        with torch.no_grad():
            return ours.forecast(context, horizon).mean

    def stacks_of_checkpoint(self, model: ZooModel, folder: Path) -> tuple[Stack, ...]:
        """Its checkpoint is that of a text model."""
        return stacks_of(family_of(checkpoint_config(folder), folder))

    def test_gradients_reach_every_block_through_the_forecast(self, model, context):
        """The language model is frozen, so they are asked for as the scores ask for them."""
        weights = [p for block in model.all_blocks() for p in block.parameters()]
        with requiring_gradients(weights):
            loss = model.forecast(context[1:], HORIZON).mean.square().sum()
            gradients = torch.autograd.grad(loss, weights)
        sizes = dict.fromkeys(range(model.num_blocks), 0.0)
        owners = [n for n, block in enumerate(model.all_blocks()) for _ in block.parameters()]
        for owner, gradient in zip(owners, gradients, strict=True):
            sizes[owner] += float(gradient.abs().sum())
        assert min(sizes.values()) > 0

    def test_only_what_is_beside_the_language_model_is_trained(self, model):
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert trained == {n for n, _ in model.named_parameters() if not n.startswith("backbone.")}
        assert trained

    def test_many_masks_share_states_and_equal_each_alone(self, model, context):
        masks = [(0, 1), (0, 2, 3), (), (1, 2), (0, 1, 2, 3)]
        for horizon in (HORIZON, 2 * HORIZON + 3):
            for place, found in forecasts(model, masks, context, horizon):
                with model.only(masks[place]):
                    assert torch.equal(found, self.mean(model, context, horizon))


class TestOnGpt2(TimeLlmContract):
    SHAPE = GPT2


class TestOnLlama(TimeLlmContract):
    SHAPE = LLAMA


class TestOnQwen3(TimeLlmContract):
    SHAPE = QWEN3


class TestOnQwen3WithTwoKindsOfAttention(TimeLlmContract):
    """The kind of attention stays with its block."""

    SHAPE = QWEN3 | {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "use_sliding_window": True, "sliding_window": 2,
    }  # fmt: skip


def forecast(model: ZooModel) -> Tensor:
    with torch.no_grad():
        return model.forecast(windows()[:, :CONTEXT], HORIZON).mean


def test_the_prompt_stands_before_the_patches_and_matters():
    with_prompt, other, without = (tiny(prompt_ids=ids) for ids in ([3, 1, 4], [4, 1, 3], []))
    assert not torch.equal(forecast(with_prompt), forecast(other))
    assert not torch.equal(forecast(with_prompt), forecast(without))
    tokens = (CONTEXT - 16) // 8 + 2
    (trace,) = with_prompt.trace(windows()[:, :CONTEXT])
    assert trace.hidden.shape[2] == 3 + tokens
    words = with_prompt.backbone.get_input_embeddings().weight[[3, 1, 4]]
    positions = with_prompt.backbone.wpe.weight[:3]
    torch.testing.assert_close(trace.hidden[0][0, :3], words + positions)


def test_reprogramming_attends_to_maps_of_all_words():
    """By hand, for one token and one head."""
    model = tiny(heads=1)
    layer, words = model.reprogramming, model.backbone.get_input_embeddings().weight
    token = torch.randn(1, 1, 8)
    texts = layer.prototypes.weight @ words + layer.prototypes.bias[:, None]
    weights = (layer.key(texts) @ layer.query(token)[0, 0] / 12**0.5).softmax(0)
    expected = layer.output(weights @ layer.value(texts))
    torch.testing.assert_close(layer(token, words)[0, 0], expected)
    assert layer.prototypes.weight.shape == (6, 20)


@pytest.mark.parametrize("keep", [(2, 3), (0, 3)])
@pytest.mark.parametrize("prompt", [[], [2, 7]])
def test_seams_are_repaired_behind_a_block_and_before_the_first_without_a_prompt(keep, prompt):
    model = tiny(LLAMA, prompt_ids=prompt)
    smaller = model.with_blocks(keep)
    made = windows(64, seed=3)

    def gap() -> float:
        return float((forecast(smaller) - forecast(model)).square().mean())

    if prompt and 0 not in keep:
        with pytest.raises(ParamsError, match="has none before its first block"):
            repair_seams(smaller, model, made, ridge=1e-2)
        return
    before = gap()
    repair_seams(smaller, model, made, ridge=1e-2)
    assert gap() < before


@pytest.mark.parametrize("shape", [GPT2, LLAMA, QWEN3])
def test_activation_checkpointing_changes_no_gradient(shape):
    plain, saving = tiny(shape, dropout=0.0).train(), tiny(shape, dropout=0.0).train()
    saving.checkpoint_activations()
    for model in (plain, saving):
        task_loss(model.outputs(windows()), LossSpec()).backward()
    for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None) == name.startswith("backbone."), name
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


def test_healing_the_kept_blocks_of_a_frozen_model_trains_what_there_is():
    assert frozen_names(tiny(), "kept_blocks") == frozenset()
    assert "head.weight" not in frozen_names(tiny(), "head_and_last")


def entry(folder: Path, **options: object) -> ZooEntry:
    start = {"kind": "folder", "path": str(folder)}
    return ZooEntry.model_validate(
        {"family": "timellm", "start": start, "options": OPTIONS | options}
    )


def imported(folder: Path, **options: object) -> ZooModel:
    return build_model(entry(folder, **options), None, WINDOWS, seed=0, pretrained=folder)[0].eval()


@pytest.mark.parametrize(
    "source",
    [
        lambda: GPT2Model(GPT2Config.from_dict(GPT2)),
        lambda: GPT2LMHeadModel(GPT2Config.from_dict(GPT2)),
        lambda: LlamaModel(LlamaConfig.from_dict(LLAMA)),
        lambda: LlamaForCausalLM(LlamaConfig.from_dict(LLAMA)),
        lambda: Qwen3ForCausalLM(Qwen3Config.from_dict(QWEN3)),
    ],
)
@pytest.mark.parametrize("shard", ["5GB", "8KB"])
def test_a_checkpoint_of_a_language_model_is_imported_with_and_without_its_head(
    source, shard, tmp_path
):
    torch.manual_seed(0)
    given = source()
    given.save_pretrained(tmp_path, max_shard_size=shard)
    model = imported(tmp_path)
    ours, theirs = model.backbone.state_dict(), given.base_model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    model.save(tmp_path / "saved")
    assert torch.equal(forecast(load_model(tmp_path / "saved")), forecast(model))


def test_names_of_old_gpt2_checkpoints_are_left_out():
    ones = torch.ones(1)
    names = ["h.0.attn.bias", "h.0.attn.masked_bias", "lm_head.weight", "h.0.attn.c_attn.bias"]
    assert TimeLlm.upstream_tensors(dict.fromkeys(names, ones)) == {"h.0.attn.c_attn.bias": ones}


def test_a_bf16_language_model_stays_bf16_and_what_is_trained_stays_fp32(tmp_path):
    torch.manual_seed(0)
    LlamaModel(LlamaConfig.from_dict(LLAMA)).bfloat16().save_pretrained(tmp_path)
    model = imported(tmp_path)
    for name, tensor in model.stored_state().items():
        expected = torch.bfloat16 if name.startswith("backbone.") else torch.float32
        assert tensor.dtype == expected, name
    model.save(tmp_path / "saved")
    assert torch.equal(forecast(load_model(tmp_path / "saved")), forecast(model))


def test_a_checkpoint_without_a_block_is_refused(tmp_path):
    LlamaModel(LlamaConfig.from_dict(LLAMA)).save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text().replace('layers": 4', 'layers": 5')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=r"not a whole timellm checkpoint.*layers\.4"):
        imported(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patches": 3}, "there is no options.patches; options: patch, stride, d_model, heads"),
        ({"patch": 0}, "options.patch: Input should be greater than or equal to 1; got 0"),
        ({"d_ff": "12"}, "options.d_ff: Input should be a valid integer; got '12'"),
        ({"dropout": 1.0}, "options.dropout: Input should be less than 1; got 1.0"),
        ({"prompt_ids": [1, -2]}, r"options.prompt_ids.1: Input should be greater .*; got -2"),
        ({"patch": 65}, r"options.patch must be at most windows.context \(64\); got 65"),
        ({"stride": 17}, r"options.stride must be at most patch \(16\); got 17"),
        ({"d_ff": 17}, r"options.d_ff must be at most the language model's width \(16\); got 17"),
        ({"prompt_ids": [20]}, "prompt_ids must be below the vocabulary's 20 words; got 20"),
        ({"prompt_ids": [1] * 26}, "the prompt and the patches are 34 tokens, .* takes 32"),
    ],
)
def test_wrong_options_are_one_clear_line(options, message):
    with pytest.raises(ParamsError, match=message) as caught:
        tiny(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({}, "needs model_type, one of gpt2, qwen3, llama; got None"),
        ({"model_type": "t5"}, "needs model_type, .*; got 't5'"),
        (LLAMA | {"num_attention_heads": 3}, "transformers' LlamaConfig refuses this config"),
        (GPT2 | {"n_embd": "wide"}, "transformers' GPT2Config refuses this config or shape"),
    ],
)
def test_a_language_model_that_cannot_be_built_is_one_clear_line(shape, message):
    with pytest.raises(ParamsError, match=message) as caught:
        tiny(shape)
    assert "\n" not in str(caught.value)
