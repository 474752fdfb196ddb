"""Where the first weights of a model entry come from."""

import hashlib
from pathlib import Path

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

from tasks.errors import CheckpointError, ParamsError
from tasks.models.build import build_model
from tasks.models.native import NativeModel
from tasks.params import load_params
from tasks.sections.data import Windows
from tasks.sections.models import ModelEntry, Scale
from tasks.sections.zoo import ZooEntry
from tests.tasks.models.zoo.tiny_bolt import SHAPE, folder_entry, save_as_library
from tests.tiny import tiny_model

WINDOWS = Windows(context=64, horizon=16)
SCALE = Scale(backbone="gpt2", blocks=3, width=16, heads=2, learning_rate=1e-3)


def entry(start: dict[str, str], **changes: object) -> ModelEntry:
    fields = {"family": "llm4ts", "scale": "any", "patch": 16, "start": start} | changes
    return ModelEntry.model_validate(fields)


def build(model_entry: ModelEntry, scale: Scale = SCALE, folder=None) -> NativeModel:
    return build_model(model_entry, scale, WINDOWS, seed=0, pretrained=folder)[0]


@pytest.fixture
def gpt2_folder(tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=4, n_head=2, vocab_size=20, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    return tmp_path


def test_a_checkpoint_gives_its_first_blocks_unchanged(gpt2_folder):
    model = build(entry({"kind": "folder", "path": str(gpt2_folder)}))
    source = GPT2LMHeadModel.from_pretrained(gpt2_folder).transformer
    assert model.num_blocks == 3
    for block in range(3):
        ours = model.backbone.h[block].mlp.c_fc.weight
        assert torch.equal(ours, source.h[block].mlp.c_fc.weight)
    assert model.config.origin == str(gpt2_folder)


TEXT_SIZES = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "vocab_size": 20, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "source"),
    [
        ("llama", lambda: LlamaModel(LlamaConfig(**TEXT_SIZES))),
        ("llama", lambda: LlamaForCausalLM(LlamaConfig(**TEXT_SIZES))),
        ("qwen3", lambda: Qwen3ForCausalLM(Qwen3Config(head_dim=8, **TEXT_SIZES))),
    ],
)
@pytest.mark.parametrize("shard", ["5GB", "8KB"])
def test_text_models_with_and_without_their_head_are_read_whole_or_in_shards(
    backbone, source, shard, tmp_path
):
    torch.manual_seed(0)
    given = source().eval()
    given.save_pretrained(tmp_path, max_shard_size=shard)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "8KB")
    start = {"kind": "folder", "path": str(tmp_path)}
    whole = SCALE.model_copy(update={"blocks": 4, "backbone": backbone})
    model, hashes = build_model(entry(start), whole, WINDOWS, seed=0, pretrained=tmp_path)
    assert set(hashes) == {path.name for path in tmp_path.glob("*.safetensors")}
    embedded = torch.randn(2, 3, 16)
    with torch.no_grad():
        ours = model.eval().backbone(inputs_embeds=embedded).last_hidden_state
        theirs = given.base_model(inputs_embeds=embedded).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)  # our RMSNorm is fused
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert not any(part in name for name in trained for part in ("proj", "embed_tokens"))
    assert {"backbone.norm.weight", "backbone.layers.0.input_layernorm.weight"} <= trained


def test_a_llama_needs_heads_that_divide_its_width():
    scale = SCALE.model_copy(update={"backbone": "llama", "heads": 3, "head_dim": 4})
    with pytest.raises(ParamsError, match="width 16 must be a multiple of heads 3 with backbone"):
        build(entry({"kind": "random"}), scale)


def test_a_random_start_depends_on_the_seed_alone():
    first, again = (build(entry({"kind": "random"}, family="tsfm")) for _ in range(2))
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert first.config.origin == "random initialisation"


def test_a_pretrained_start_takes_the_other_entrys_weights(tmp_path):
    base = tiny_model()
    base.save(tmp_path / "base")
    start = {"kind": "pretrained", "model": "base"}
    model = build(entry(start, family="tsfm"), folder=tmp_path)
    assert torch.equal(model.head.weight, base.head.weight)


def spoil_backbone_kind(folder):
    config = Qwen3Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=32,
        vocab_size=20,
        bos_token_id=0,
        eos_token_id=0,
    )
    Qwen3Model(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"no config\.json there"),
        (lambda f: (f / "model.safetensors").unlink(), r"holds no \*\.safetensors"),
        (spoil_backbone_kind, "holds a 'qwen3' model, the entry's backbone is 'gpt2'"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:500]
            ),
            "not loadable",
        ),
    ],
)
def test_unfit_checkpoint_folders_are_refused(gpt2_folder, spoil, message):
    spoil(gpt2_folder)
    with pytest.raises(CheckpointError, match=message):
        build(entry({"kind": "folder", "path": str(gpt2_folder)}))


def test_a_checkpoint_of_another_width_is_refused(gpt2_folder):
    wide = SCALE.model_copy(update={"width": 32})
    with pytest.raises(CheckpointError, match="do not fit scale"):
        build(entry({"kind": "folder", "path": str(gpt2_folder)}), wide)


def test_a_hub_that_cannot_be_reached_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    start = {"kind": "hub", "id": "nobody/nothing", "revision": "0" * 40}
    with pytest.raises(
        CheckpointError, match="nobody/nothing cannot be had from the hub"
    ) as caught:
        build(entry(start))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scale", "total", "in_blocks"), [("tiny", 85.0, 42.5), ("small", 127.5, 85.1)]
)
def test_gpt2_scales_have_the_papers_sizes(scale, total, in_blocks):
    """With GPT-2's own token and position embeddings, which the paper's counts include."""
    paper = Windows(context=336, horizon=96)
    flat = entry({"kind": "random"}, head="flatten", stride=8)
    with torch.device("meta"):
        model, _ = build_model(flat, load_params().scales[scale], paper, seed=0, pretrained=Path())
    counts = model.parameter_counts()
    embeddings = (50257 - 1) * 768 + (1024 - model.config.num_tokens) * 768
    assert counts["blocks"] / 1e6 == pytest.approx(in_blocks, abs=0.1)
    assert (counts["all"] + embeddings) / 1e6 == pytest.approx(total, abs=0.1)


@pytest.mark.parametrize(("scale", "in_blocks"), [("base", 440.0), ("large", 1410.0)])
def test_qwen3_scales_have_the_papers_sizes(scale, in_blocks):
    with torch.device("meta"):
        model = build(entry({"kind": "random"}, family="tsfm"), load_params().scales[scale])
    assert model.parameter_counts()["blocks"] / 1e6 == pytest.approx(in_blocks, rel=0.01)


def published(model_entry: ZooEntry, folder: Path = Path()):
    return build_model(model_entry, None, WINDOWS, seed=0, pretrained=folder)


def test_a_published_model_comes_from_a_folder_that_its_library_saved(tmp_path):
    pytest.importorskip("chronos")
    module = save_as_library(tmp_path)
    model, hashes = published(folder_entry(tmp_path))
    assert (model.config.family, model.config.origin) == ("chronos_bolt", str(tmp_path))
    assert (model.config.context, model.config.horizon) == (64, 16)
    assert model.kept == (0, 1, 2, 3, 4)
    for name, tensor in module.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor), name
    content = (tmp_path / "model.safetensors").read_bytes()
    assert hashes == {"model.safetensors": hashlib.sha256(content).hexdigest()}


def test_a_saved_backbone_is_a_checkpoint_to_start_from_again(tmp_path):
    pytest.importorskip("chronos")
    save_as_library(tmp_path / "first")
    smaller = published(folder_entry(tmp_path / "first"))[0].with_blocks([1, 2, 4])
    smaller.save(tmp_path / "pruned")
    again, _ = published(folder_entry(tmp_path / "pruned/backbone"))
    assert again.stack_sizes == [2, 1]
    for name, tensor in smaller.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_published_model_may_start_at_random_or_from_another_entry(tmp_path):
    pytest.importorskip("chronos")
    fields = {"family": "chronos_bolt", "shape": SHAPE, "start": {"kind": "random"}}
    entries = [ZooEntry.model_validate(fields) for _ in range(2)]
    first, again = (published(one)[0] for one in entries)
    assert published(entries[0])[1] == {}
    assert torch.equal(first.backbone.shared.weight, again.backbone.shared.weight)
    first.save(tmp_path / "base")
    tuned = {"family": "chronos_bolt", "start": {"kind": "pretrained", "model": "base"}}
    model, hashes = published(ZooEntry.model_validate(tuned), tmp_path)
    assert torch.equal(model.backbone.shared.weight, first.backbone.shared.weight)
    assert list(hashes) == ["model.safetensors"]


def test_an_option_that_a_family_does_not_have_is_refused(tmp_path):
    pytest.importorskip("chronos")
    save_as_library(tmp_path)
    with pytest.raises(ParamsError, match="this family has no option 'samples'"):
        published(folder_entry(tmp_path, options={"samples": 3}))


def test_a_folder_of_another_family_is_refused(gpt2_folder):
    pytest.importorskip("chronos")
    with pytest.raises(ParamsError, match="chronos_bolt needs `chronos_config`"):
        published(folder_entry(gpt2_folder))
