"""The options of `few_layer`, each changed alone."""

import numpy as np
import pytest

from tasks.scorers.few_layer import combine
from tasks.scorers.few_layer_changes import CHANGES, few_layer_changes
from tasks.sections.scoring import FewLayer
from tests.tasks.scorers.made_up import made_up_activations, symmetric

COSINE = symmetric([[0.5, 0.4, 0.45, 0.1], [0.8, 0.85, 0.2], [0.95, 0.3], [0.4]], 1.0)
DIVERSITY = np.array([0.3, 0.1, 0.5, 0.2])
STACKS = [made_up_activations(cosine=COSINE, diversity=DIVERSITY)]


@pytest.fixture(scope="module")
def changes():
    return few_layer_changes(STACKS, FewLayer())


def test_every_value_is_tried_and_the_own_one_agrees_with_itself(changes):
    assert [(c.option, c.value) for c in changes] == [
        (option, value) for option, values in CHANGES.items() for value in values
    ]
    own = [change for change in changes if change.is_own]
    assert [change.option for change in own] == list(CHANGES)
    assert all(change.agreement == pytest.approx(1) for change in own)
    assert len({(change.count, tuple(change.keep)) for change in own}) == 1


def test_tau_moves_the_count_and_not_the_order(changes):
    counts = [change.count for change in changes if change.option == "tau"]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert all(c.agreement == pytest.approx(1) for c in changes if c.option == "tau")


def test_a_change_is_what_the_score_would_be():
    changes = few_layer_changes(STACKS, FewLayer(tau=0.7))
    change = next(c for c in changes if c.option == "exempt" and c.value == ["first", "last"])
    score = combine(COSINE, DIVERSITY, FewLayer(exempt=["first", "last"], tau=0.7))
    assert change.count == score.count
    assert {0, 3} <= set(change.keep)


def test_an_own_value_outside_the_list_is_tried_too():
    changes = few_layer_changes(STACKS, FewLayer(alpha=0.33))
    assert [c.value for c in changes if c.option == "alpha"] == [0.25, 0.5, 0.75, 1.0, 0.33]
