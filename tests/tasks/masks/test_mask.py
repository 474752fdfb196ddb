"""Masks: sizes, text form, the orders of the controls."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import MaskError
from tasks.masks.cost import cost_table
from tasks.masks.mask import (
    count_masks,
    even_mask,
    first_mask,
    format_mask,
    last_mask,
    parse_mask,
    random_masks,
    sizes_of,
    top_mask,
)
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
    assert cost_table("share", tiny_model(blocks=4)) == [0, 0.25, 0.5, 0.75, 1.0]


def test_latency_cost_is_relative_to_the_full_model():
    table = cost_table("latency", tiny_model(blocks=4))
    assert len(table) == 5
    assert table[-1] == 1.0
