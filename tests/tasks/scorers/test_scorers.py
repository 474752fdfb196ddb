"""Scores against their definitions, computed the slow way."""

import numpy as np
import pytest
import torch

from tasks.models.native import Trace
from tasks.scorers.activations import collect, linear_cka, query_diversity
from tasks.scorers.block_influence import block_influence
from tasks.scorers.few_layer import automatic_count, few_layer, inter_layer_shift, min_max
from tasks.scorers.removal_loss import removal_loss
from tasks.sections import FewLayer
from tasks.training.loop import validation_mse
from tests.tiny import CONTEXT, tiny_model, tiny_windows


@pytest.fixture(scope="module")
def model():
    return tiny_model("qwen3")


@pytest.fixture(scope="module")
def contexts():
    return tiny_windows(10)[:, :CONTEXT]


def states_of(model, contexts):
    with torch.no_grad():
        return model.trace(contexts).hidden.flatten(1, 2).double()


def test_trace_holds_the_state_before_and_after_every_block(model, contexts):
    with torch.no_grad():
        hidden = model.trace(contexts).hidden
        shallow = model.with_blocks([0, 1]).trace(contexts).hidden
    assert hidden.shape == (6, 10, 4, 16)
    torch.testing.assert_close(hidden[:3], shallow)


def test_cosines_are_means_over_tokens_whatever_the_batches(model, contexts):
    states = states_of(model, contexts)
    whole, parts = collect(model, contexts, 10), collect(model, contexts, 3)
    for a in range(6):
        for b in range(6):
            mean = torch.cosine_similarity(states[a], states[b], dim=-1).mean()
            assert whole.cosine[a, b] == pytest.approx(float(mean), abs=1e-6)
    np.testing.assert_allclose(whole.cosine, parts.cosine, atol=1e-6)
    np.testing.assert_allclose(whole.diversity, parts.diversity, atol=1e-6)
    np.testing.assert_allclose(whole.cka, parts.cka, atol=1e-6)


def slow_diversity(attention):
    """V of one attention matrix [N, N], pair by pair."""
    size, total = len(attention), 0.0
    for p in range(size):
        for q in range(size):
            if p != q:
                shared = min(p, q) + 1
                total += float(
                    torch.cosine_similarity(attention[p, :shared], attention[q, :shared], dim=0)
                )
    return 1 - total / (size * (size - 1))


def test_query_diversity_equals_the_definition():
    rows = torch.rand(2, 3, 2, 5, 5, dtype=torch.float64).tril()
    attention = rows / rows.sum(-1, keepdim=True)
    expected = [
        np.mean([slow_diversity(attention[b, i, h]) for i in range(3) for h in range(2)])
        for b in range(2)
    ]
    trace = Trace(torch.zeros(3, 3, 5, 4), attention)
    np.testing.assert_allclose(query_diversity(trace).numpy(), expected, rtol=1e-9)


def test_hidden_attention_falls_back_to_tokens():
    hidden = torch.randn(3, 2, 4, 8)
    values = query_diversity(Trace(hidden, None))
    first = torch.cosine_similarity(hidden[1, :, :, None], hidden[1, :, None], dim=-1)
    off = (first.sum((1, 2)) - 4) / 12
    assert float(values[0]) == pytest.approx(1 - float(off.mean()), abs=1e-5)


def test_block_influence_is_one_minus_the_cosine_of_neighbours(model, contexts):
    activations = collect(model, contexts, 5)
    values = block_influence(activations).values
    assert values == pytest.approx([1 - activations.cosine[i, i + 1] for i in range(5)])


def test_shift_with_one_predecessor_is_block_influence(model, contexts):
    activations = collect(model, contexts, 5)
    shift = inter_layer_shift(activations.cosine, 0.5, 1)
    np.testing.assert_allclose(shift, block_influence(activations).values)


def test_shift_weighs_predecessors_by_alpha():
    cosine = np.array([[1, 0.9, 0.5], [0.9, 1, 0.8], [0.5, 0.8, 1]])
    shift = inter_layer_shift(cosine, 0.5, 3)
    np.testing.assert_allclose(shift, [0.1, (0.2 + 0.5 * 0.5) / 1.5])


def test_few_layer_exempts_the_first_block_and_counts(model, contexts):
    score = few_layer(collect(model, contexts, 5), FewLayer())
    assert score.values[0] == 1.0
    assert score.count is not None
    assert 1 <= score.count <= 5
    assert score.parameters["alpha"] == 0.5


@pytest.mark.parametrize(
    ("values", "tau", "count"),
    [([1, 1, 1, 1], 0.5, 2), ([4, 1, 1], 0.6, 1), ([1, 0, 0], 1.0, 1), ([0, 0], 0.5, 1)],
)
def test_automatic_count_is_the_smallest_set_that_reaches_tau(values, tau, count):
    assert automatic_count(np.array(values, dtype=float), tau) == count


def test_min_max_of_equal_values_is_zero():
    assert (min_max(np.ones(3)) == 0).all()


def test_linear_cka_ignores_rotation_and_scale():
    states = torch.randn(1, 30, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    other = torch.randn(1, 30, 6, dtype=torch.float64)
    cka = linear_cka(torch.cat([states, 3 * states @ rotation + 1, other]))
    assert float(cka[0, 1]) == pytest.approx(1)
    assert float(cka[0, 2]) < 0.9


def test_removal_loss_is_the_error_of_the_smaller_model_minus_the_full_one(model):
    windows = tiny_windows(10)
    score = removal_loss(model, windows)
    base = validation_mse(model, windows)
    for dropped in range(5):
        smaller = model.with_blocks([block for block in range(5) if block != dropped])
        expected = validation_mse(smaller, windows) - base
        assert score.values[dropped] == pytest.approx(expected, abs=1e-9)
