"""Block influence: one minus the cosine of neighbouring states."""

import pytest

from tasks.scorers.block_influence import block_influence
from tests.tasks.scorers.made_up import made_up_activations, symmetric


def test_block_influence_is_one_minus_the_cosine_of_neighbours():
    cosine = symmetric([[0.6, 0.1, 0.2], [0.9, 0.3], [0.7]], 1.0)
    assert block_influence(made_up_activations(cosine=cosine)).values == pytest.approx(
        [0.4, 0.1, 0.3]
    )
