"""The paper's idea: inter-layer shift and diversity."""

import numpy as np
import pytest

from tasks.scorers.block_influence import block_influence
from tasks.scorers.few_layer import automatic_count, few_layer, inter_layer_shift, min_max
from tasks.sections.scoring import FewLayer
from tests.tasks.scorers.made_up import made_up_activations, symmetric

COSINE = symmetric([[0.9, 0.5], [0.8]], 1.0)


def test_shift_with_one_predecessor_is_block_influence():
    expected = block_influence(made_up_activations(cosine=COSINE)).values
    np.testing.assert_allclose(inter_layer_shift(COSINE, 0.5, 1), expected)


def test_shift_weighs_predecessors_by_alpha():
    shift = inter_layer_shift(COSINE, 0.5, 3)
    np.testing.assert_allclose(shift, [0.1, (0.2 + 0.5 * 0.5) / 1.5])


@pytest.mark.parametrize(
    ("change", "values", "count"),
    [
        ({"exempt": [], "tau": 0.8}, [0.5, 0.5], 2),  # shift 0, 1; diversity 1, 0
        ({"exempt": []}, [0.5, 0.5], 1),
        ({"exempt": ["first"], "tau": 0.8}, [1.0, 0.5], 2),
        ({"exempt": ["first"], "tau": 0.6}, [1.0, 0.5], 1),
        ({"exempt": [], "combine": "product"}, [0.0, 0.0], 1),
        ({"exempt": ["first", "last"], "tau": 0.8}, [1.0, 1.0], 2),
    ],
)
def test_few_layer_by_hand(change, values, count):
    activations = made_up_activations(cosine=COSINE, diversity=[0.7, 0.2])
    score = few_layer(activations, FewLayer(**change))
    assert score.values == pytest.approx(values)
    assert score.count == count
    assert score.parameters["alpha"] == 0.75


@pytest.mark.parametrize(
    ("values", "tau", "count"),
    [([1, 1, 1, 1], 0.5, 2), ([4, 1, 1], 0.6, 1), ([1, 0, 0], 1.0, 1), ([0, 0], 0.5, 1)],
)
def test_automatic_count_is_the_smallest_set_that_reaches_tau(values, tau, count):
    assert automatic_count(np.array(values, dtype=float), tau) == count


def test_min_max_of_equal_values_is_zero():
    assert (min_max(np.ones(3)) == 0).all()
