"""Masks that share prefixes: the same bits as one by one, each prefix once, memory bounded."""

import itertools
import math
import random
import weakref

import numpy as np
import pytest
import torch

from tasks.errors import MaskError
from tasks.masks.mask import random_masks
from tasks.masks.trie import block_passes, build_trie, forecasts, states
from tasks.models.walk import Walk
from tests.tiny import CONTEXT, HORIZON, tiny_model, tiny_windows

SHAPES = [(b, h) for b in ("gpt2", "qwen3") for h in ("per_token", "flatten")]
ALL = tuple(range(12))
REMOVALS = [ALL, *(tuple(b for b in ALL if b != dropped) for dropped in ALL)]


def subsets(blocks, seed, count=14):
    rng = random.Random(seed)
    every = [m for size in range(blocks + 1) for m in itertools.combinations(range(blocks), size)]
    return [(), tuple(range(1, blocks)), *rng.sample(every, count), *rng.sample(every, 3)]


def naive(model, masks, context, horizon):
    for mask in masks:
        with torch.no_grad(), model.only(mask):
            yield model.forecast(context, horizon).mean


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
@pytest.mark.parametrize("max_bytes", [0, 2**30])
def test_forecasts_equal_those_of_each_mask_alone_bit_for_bit(backbone, head, max_bytes):
    model, context = tiny_model(backbone, head=head), tiny_windows()[:, :CONTEXT]
    masks = subsets(5, seed=len(backbone))
    found = dict(forecasts(model, masks, context, HORIZON, max_bytes=max_bytes))
    assert sorted(found) == list(range(len(masks)))
    for place, expected in enumerate(naive(model, masks, context, HORIZON)):
        assert torch.equal(found[place], expected), masks[place]


@pytest.mark.parametrize("horizon", [5, 2 * HORIZON + 3])
@pytest.mark.parametrize("length", [CONTEXT - 20, CONTEXT, CONTEXT + HORIZON])
def test_other_horizons_and_contexts_are_equal_too(horizon, length):
    model, context = tiny_model("qwen3", head="flatten"), tiny_windows()[:, :length]
    masks = [(0, 2), (), (0, 2, 4), (3,)]
    found = dict(forecasts(model, masks, context, horizon))
    for place, expected in enumerate(naive(model, masks, context, horizon)):
        assert torch.equal(found[place], expected), masks[place]


def test_the_model_is_as_before_after_a_walk():
    model, context = tiny_model(), tiny_windows()[:, :CONTEXT]
    before = list(model.state_dict())
    whole = model.forecast(context, HORIZON).mean
    list(forecasts(model, [(1,), ()], context, HORIZON))
    assert list(model.state_dict()) == before
    assert torch.equal(model.forecast(context, HORIZON).mean, whole)


def test_sliding_attention_follows_its_block():
    """Each block keeps its own kind of attention wherever it stands in a mask."""
    model, context = tiny_model("qwen3"), tiny_windows()[:, :CONTEXT]
    masks = [(0, 1), (1, 2), (1, 3), (0, 2)]
    everywhere = dict(forecasts(model, masks, context, HORIZON))
    config = model.backbone.config
    config.layer_types = [("full_attention", "sliding_attention")[b % 2] for b in range(5)]
    config.sliding_window = 2
    model.backbone.has_sliding_layers = True
    found = dict(forecasts(model, masks, context, HORIZON))
    for place, expected in enumerate(naive(model, masks, context, HORIZON)):
        assert torch.equal(found[place], expected), masks[place]
    assert not torch.equal(found[0], everywhere[0])
    assert torch.equal(found[3], everywhere[3])


def test_masks_in_any_order_of_blocks_are_read_and_wrong_ones_refused():
    model, context = tiny_model(), tiny_windows()[:, :CONTEXT]
    found = dict(forecasts(model, [(2, 0), (0, 2)], context, HORIZON))
    assert torch.equal(found[0], found[1])
    with pytest.raises(MaskError, match="keep must name distinct blocks"):
        list(forecasts(model, [(0, 5)], context, HORIZON))


@pytest.mark.parametrize(
    ("masks", "passes"),
    [
        ([], 0),
        ([()], 0),
        ([(0, 1, 2), (0, 1, 2)], 3),
        ([(0, 1), (0, 2), (1, 2)], 5),
        (REMOVALS, 12 + 12 * 11 // 2),
        (REMOVALS[1:], 77),
        (list(itertools.combinations(range(12), 3)), 10 + 55 + 220),
    ],
)
def test_block_passes_count_distinct_prefixes(masks, passes):
    assert block_passes(masks) == passes


class CountedWalk:
    """A walk whose states are their prefixes, which counts passes and states alive."""

    def __init__(self, blocks):
        self.alive, self.most, self.passes = 0, 0, 0
        start = self._state([])
        steps = [lambda hidden, block=block: self._step(block, hidden) for block in range(blocks)]
        self.walk = Walk(start, steps, lambda hidden: hidden)

    def _state(self, prefix):
        state = torch.full((100,), -1.0)
        state[: len(prefix)] = torch.tensor([float(block) for block in prefix])
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(state, self._gone)
        return state

    def _gone(self):
        self.alive -= 1

    def _step(self, block, hidden):
        self.passes += 1
        return self._state([*prefix_of(hidden), block])


def prefix_of(hidden):
    return tuple(int(block) for block in hidden[hidden >= 0])


def walk_through(masks, max_bytes):
    counted = CountedWalk(12)
    seen = []
    for node, hidden in states(counted.walk, build_trie(masks), max_bytes):
        assert prefix_of(hidden) == node.prefix
        seen += [masks[place] for place in node.masks]
        del hidden
    assert sorted(seen) == sorted(masks)
    return counted


MANY = [m for size in (3, 4, 5, 6) for m in random_masks(12, size, 50, np.random.default_rng(size))]


@pytest.mark.parametrize("masks", [REMOVALS, MANY, list(itertools.combinations(range(12), 4))])
def test_each_prefix_is_run_once_and_few_states_wait(masks):
    counted = walk_through(masks, 2**30)
    assert counted.passes == block_passes(masks)
    assert counted.most <= 3 + math.log2(len(masks))


def test_removing_each_block_in_turn_keeps_one_state_waiting():
    assert walk_through(REMOVALS, 2**30).most <= 4


@pytest.mark.parametrize("masks", [REMOVALS, MANY])
@pytest.mark.parametrize("fitting", [0, 3, 4, 5])
def test_the_memory_bound_holds_and_costs_passes_only(masks, fitting):
    counted = walk_through(masks, fitting * 400)
    assert counted.most <= max(3, fitting)
    assert block_passes(masks) <= counted.passes <= sum(map(len, masks))


def test_more_memory_never_costs_more_passes():
    passes = [walk_through(MANY, fitting * 400).passes for fitting in range(3, 9)]
    assert passes == sorted(passes, reverse=True)
    assert passes[0] > passes[-1]
