"""Masks: sizes, text form, the orders of the controls."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import MaskError
from tasks.masks.cost import costs_of
from tasks.masks.mask import (
    count_masks,
    even_mask,
    first_mask,
    format_mask,
    last_mask,
    parse_mask,
    random_masks,
    sizes_by_stack,
    sizes_of,
    top_mask,
)
from tasks.models.sublayers import split_blocks
from tests.tiny import tiny_model


@given(st.sets(st.integers(0, 99)))
def test_text_form_round_trips(blocks):
    mask = tuple(sorted(blocks))
    assert parse_mask(format_mask(mask)) == mask


def test_text_that_is_no_mask_is_refused():
    with pytest.raises(MaskError, match='a mask is block numbers with spaces between; got "0,1"'):
        parse_mask("0,1")


@pytest.mark.parametrize(
    ("shares", "blocks", "sizes"),
    [([0.25], 12, [3]), ([0.17, 0.25, 0.34], 12, [2, 3, 4]), ([0.01], 12, [1]), ([0.3], 28, [8])],
)
def test_sizes_round_down_so_that_at_most_stays_true(shares, blocks, sizes):
    assert sizes_of(shares, blocks) == sizes


def test_keeping_every_block_is_refused():
    with pytest.raises(MaskError, match=r"must keep fewer than all 12 blocks; 1\.0 keeps 12"):
        sizes_of([0.5, 1.0], 12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.data())
def test_top_mask_keeps_the_highest_values(values, data):
    size = data.draw(st.integers(1, len(values)))
    mask = top_mask(values, size)
    dropped = [v for block, v in enumerate(values) if block not in mask]
    assert len(set(mask)) == size
    assert min(values[block] for block in mask) >= max(dropped, default=-1)


@given(st.integers(2, 12), st.data())
def test_ordered_controls_are_masks_of_the_size(blocks, data):
    size = data.draw(st.integers(1, blocks))
    for make in (first_mask, last_mask, even_mask):
        mask = make(blocks, size)
        assert len(set(mask)) == size
        assert mask == tuple(sorted(mask))
        assert all(0 <= block < blocks for block in mask)


def test_random_masks_differ_and_stop_where_there_are_no_more():
    masks = random_masks(4, 2, 50, np.random.default_rng(0))
    assert len(set(masks)) == len(masks) == comb(4, 2) == count_masks([2], 4)


def test_share_cost_grows_with_the_blocks():
    costs = costs_of("share", tiny_model(blocks=4))
    assert costs.table == [0, 0.25, 0.5, 0.75, 1.0]
    assert costs.of((1, 3), costs.table) == 0.5


def test_latency_cost_is_relative_to_the_full_model():
    costs = costs_of("latency", tiny_model(blocks=4))
    assert len(costs.table) == 5
    assert costs.of((0, 1, 2, 3), costs.table) == 1.0


def test_latencies_that_are_noise_never_make_a_block_speed_a_model_up(monkeypatch):
    model = split_blocks(tiny_model(blocks=3))
    for seed in range(20):
        noise = np.random.default_rng(seed).exponential(size=1000).cumsum()
        monkeypatch.setattr("time.perf_counter", iter(noise.tolist()).__next__)
        attention, mlp = np.split(np.array(costs_of("latency", model).table), 2)
        assert np.diff(attention).min() >= 0
        assert np.diff(mlp).min() >= 0
        assert attention[0] > 0
        assert mlp[0] == 0
        assert attention[-1] + mlp[-1] == pytest.approx(1.0)


def test_each_kind_of_sublayer_has_a_latency_of_its_own():
    model = split_blocks(tiny_model(blocks=3))
    costs = costs_of("latency", model)
    assert len(costs.table) == 2 * 4
    assert costs.of(tuple(range(6)), costs.table) == pytest.approx(1.0)
    made_up = [0.1, 0.2, 0.3, 0.4, 0.0, 0.2, 0.4, 0.6]  # 0.1 each attention, 0.2 each MLP
    assert costs.of((), made_up) == pytest.approx(0.1)
    assert costs.of((0, 4), made_up) == pytest.approx(0.3)
    assert costs.of((1, 4), made_up) == pytest.approx(0.4)
    assert costs.of((1, 3, 5), made_up) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("depths", "size", "expected"),
    [
        ([12, 12], 6, [3, 3]),
        ([3, 2], 2, [1, 1]),
        ([6, 2], 3, [2, 1]),
        ([10, 1], 4, [3, 1]),
        ([3, 2], 1, [1, 0]),
        ([4, 4, 4], 12, [4, 4, 4]),
        ([12], 5, [5]),
    ],
)
def test_kept_blocks_are_shared_out_over_the_stacks(depths, size, expected):
    assert sizes_by_stack(depths, size) == expected


@given(st.lists(st.integers(1, 24), min_size=1, max_size=4), st.data())
def test_every_share_adds_up_and_fits(depths, data):
    size = data.draw(st.integers(1, sum(depths)))
    sizes = sizes_by_stack(depths, size)
    assert sum(sizes) == size
    assert all(0 <= own <= depth for own, depth in zip(sizes, depths, strict=True))
    assert min(sizes) > 0 or size < len(depths)
