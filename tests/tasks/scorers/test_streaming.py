"""Activations block by block equal those of the model in memory, bit for bit."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from tasks.models.block_by_block import open_block_by_block
from tasks.models.registry import load_model
from tasks.scorers import activations
from tasks.scorers.activations import Activations, collect
from tasks.scorers.streaming import collect_streamed
from tasks.scorers.table import score_all
from tasks.sections.scoring import Scoring
from tests.tasks.models.sharding import shard
from tests.tiny import CONTEXT, tiny_model, tiny_windows

SCORES = ("few_layer", "block_influence", "angular", "cka")


def assert_equal(found: Activations, expected: Activations) -> None:
    for field in fields(Activations):
        np.testing.assert_array_equal(
            getattr(found, field.name), getattr(expected, field.name), strict=True
        )


@pytest.fixture(scope="module")
def contexts():
    return tiny_windows(10)[:, :CONTEXT]


@pytest.mark.parametrize("head", ["per_token", "flatten"])
@pytest.mark.parametrize("backbone", ["gpt2", "qwen3", "llama"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics_and_scores_equal_those_in_memory(backbone, head, dtype, contexts, tmp_path):
    tiny_model(backbone, head=head, family="llm4ts").to(dtype).save(tmp_path)
    expected = collect(load_model(tmp_path), contexts, 4)
    found = collect_streamed(open_block_by_block(tmp_path), contexts, 4)
    assert_equal(found.stacks[0], expected.stacks[0])
    options = Scoring(scores=list(SCORES))
    assert score_all(SCORES, {"activations": found}, options) == score_all(
        SCORES, {"activations": expected}, options
    )


def test_a_backbone_in_shards_gives_the_same(contexts, tmp_path):
    tiny_model("qwen3").save(tmp_path)
    expected = collect(load_model(tmp_path), contexts, 10)
    assert shard(tmp_path, 5_000) > 3
    assert_equal(
        collect_streamed(open_block_by_block(tmp_path), contexts, 10).stacks[0], expected.stacks[0]
    )
    assert_equal(collect(load_model(tmp_path), contexts, 10).stacks[0], expected.stacks[0])


def test_gpt2_scaled_by_the_number_of_its_block_gives_the_same(contexts, tmp_path):
    model = tiny_model("gpt2")
    data = model.config.backbone_config | {"scale_attn_by_inverse_layer_idx": True}
    model = type(model)(model.config.model_copy(update={"backbone_config": data}))
    model.save(tmp_path)
    expected = collect(load_model(tmp_path), contexts, 4)
    assert_equal(
        collect_streamed(open_block_by_block(tmp_path), contexts, 4).stacks[0], expected.stacks[0]
    )


def test_states_kept_in_bfloat16_change_the_scores_by_rounding_only(contexts, tmp_path):
    tiny_model("llama").save(tmp_path)
    whole = collect_streamed(open_block_by_block(tmp_path), contexts, 4)
    rounded = collect_streamed(open_block_by_block(tmp_path), contexts, 4, keep_as=torch.bfloat16)
    assert not np.array_equal(whole.cosine, rounded.cosine)
    np.testing.assert_allclose(rounded.cosine, whole.cosine, atol=1e-2)
    np.testing.assert_array_equal(rounded.diversity, whole.diversity)  # of states not rounded


def test_pieces_of_windows_give_what_the_whole_batch_gives(contexts, monkeypatch):
    model = tiny_model("qwen3")
    whole = collect(model, contexts, 10)
    monkeypatch.setattr(activations, "PIECE_BYTES", 1)
    assert_equal(collect(model, contexts, 10).stacks[0], whole.stacks[0])
