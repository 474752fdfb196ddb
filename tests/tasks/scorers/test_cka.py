"""Runs of alike blocks, their edges kept, by hand."""

import numpy as np
import pytest

from tasks.masks.mask import top_mask
from tasks.scorers.cka import cka
from tasks.sections.scoring import Cka
from tests.tasks.scorers.made_up import made_up_activations, symmetric

# blocks 1, 2, 3 are alike, 0 and 4 are not
BLOCKS = symmetric([[0.6, 0.55, 0.5, 0.3], [0.99, 0.97, 0.4], [0.98, 0.45], [0.5]], 1.0)


def with_first_state(blocks):
    """States h_0 .. h_L: the state before the first block takes no part."""
    states = np.zeros((len(blocks) + 1, len(blocks) + 1))
    states[1:, 1:] = blocks
    return made_up_activations(cka=states)


def test_a_block_has_one_minus_the_cka_that_made_it_interior():
    score = cka(with_first_state(BLOCKS), Cka(threshold=0.95))
    # 1-2 at 0.99; with 3 at 0.97: 2 inside; with 0 at 0.5: 1 inside; with 4 at 0.3: 3 inside
    assert score.values == pytest.approx([1, 0.5, 0.03, 0.7, 1])


@pytest.mark.parametrize(
    ("threshold", "edges"),
    [(0.98, (0, 1, 2, 3, 4)), (0.95, (0, 1, 3, 4)), (0.4, (0, 3, 4)), (0.2, (0, 4))],
)
def test_the_top_blocks_are_the_edges_of_the_runs(threshold, edges):
    score = cka(with_first_state(BLOCKS), Cka(threshold=threshold))
    assert score.count == len(edges)
    assert top_mask(score.values, score.count) == edges


def test_one_block_is_kept():
    score = cka(made_up_activations(cka=np.ones((2, 2))), Cka())
    assert (score.values, score.count) == ([1.0], 1)
