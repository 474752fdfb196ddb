"""The instrumented pass against its definitions, computed the slow way."""

import math

import numpy as np
import pytest
import torch

from tasks.masks.mask import own_mask
from tasks.models.interface import Trace
from tasks.scorers.activations import (
    Activations,
    StackedActivations,
    collect,
    linear_cka,
    query_diversity,
    statistics,
)
from tasks.scorers.table import score_all
from tasks.sections.scoring import Scoring
from tests.tiny import CONTEXT, tiny_model, tiny_windows


@pytest.fixture(scope="module")
def model():
    return tiny_model("qwen3")


@pytest.fixture(scope="module")
def contexts():
    return tiny_windows(10)[:, :CONTEXT]


def test_trace_holds_the_state_before_and_after_every_block(model, contexts):
    with torch.no_grad():
        hidden = model.trace(contexts)[0].hidden
        shallow = model.with_blocks([0, 1]).trace(contexts)[0].hidden
    assert hidden.shape == (6, 10, 4, 16)
    torch.testing.assert_close(hidden[:3], shallow)


def test_statistics_are_means_over_tokens_whatever_the_batches(model, contexts):
    with torch.no_grad():
        states = model.trace(contexts)[0].hidden.double()
    whole, parts = (collect(model, contexts, size).stacks[0] for size in (10, 3))
    for a in range(6):
        for b in range(6):
            cosine = torch.cosine_similarity(states[a], states[b], dim=-1)
            angle = cosine.clamp(-1, 1).arccos() / math.pi
            assert whole.cosine[a, b] == pytest.approx(float(cosine.mean()), abs=1e-6)
            assert whole.angles.mean(0)[a, b] == pytest.approx(float(angle.mean()), abs=1e-4)
            assert whole.last_angles[3, a, b] == pytest.approx(float(angle[3, -1]), abs=1e-4)
    for name in ("cosine", "diversity", "cka", "last_angles"):
        np.testing.assert_allclose(getattr(whole, name), getattr(parts, name), atol=1e-6)


def test_some_windows_are_measured_as_if_alone(model, contexts):
    rows = torch.tensor([7, 0, 4])
    part = collect(model, contexts, 4).subset(rows).stacks[0]
    alone = collect(model, contexts[rows], 4).stacks[0]
    for name in ("cosine", "diversity", "cka", "angles"):
        np.testing.assert_allclose(getattr(part, name), getattr(alone, name), atol=1e-6)
    joined = Activations.join([part, alone])
    assert joined.cosines.shape == (6, 6, 6)
    np.testing.assert_array_equal(joined.means[3:], alone.means)


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
        [np.mean([slow_diversity(attention[b, i, h]) for h in range(2)]) for i in range(3)]
        for b in range(2)
    ]
    trace = Trace(torch.zeros(3, 3, 5, 4), attention)
    np.testing.assert_allclose(query_diversity(trace).numpy(), expected, rtol=1e-9)


def test_hidden_attention_falls_back_to_tokens():
    hidden = torch.randn(3, 2, 4, 8)
    values = query_diversity(Trace(hidden, None))
    first = torch.cosine_similarity(hidden[1, :, :, None], hidden[1, :, None], dim=-1)
    off = (first.sum((1, 2)) - 4) / 12
    np.testing.assert_allclose(values[0].numpy(), 1 - off.numpy(), atol=1e-5)


@pytest.mark.parametrize("attention", [None, torch.ones(2, 3, 2, 1, 1)])
def test_one_token_has_no_diversity(attention):
    values = query_diversity(Trace(torch.randn(3, 3, 1, 8), attention))
    assert torch.equal(values, torch.zeros(2, 3, dtype=torch.float64))


def test_linear_cka_ignores_rotation_and_scale():
    states = torch.randn(1, 30, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    other = torch.randn(1, 30, 6, dtype=torch.float64)
    cka = linear_cka(torch.cat([states, 3 * states @ rotation + 1, other]))
    assert float(cka[0, 1]) == pytest.approx(1)
    assert float(cka[0, 2]) < 0.9


@pytest.mark.parametrize("num_windows", [4, 30])
def test_linear_cka_equals_its_definition_for_few_and_for_many_windows(num_windows):
    states = torch.randn(3, num_windows, 6, dtype=torch.float64)
    cka = linear_cka(states)
    x, y = (one - one.mean(0) for one in (states[0], states[2]))
    norm = torch.linalg.norm
    expected = norm(x.T @ y) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert float(cka[0, 2]) == pytest.approx(float(expected))
    torch.testing.assert_close(torch.diagonal(cka), torch.ones(3, dtype=torch.float64))


def test_two_stacks_stand_beside_each_other():
    torch.manual_seed(0)
    stacks = [Trace(torch.randn(size + 1, 4, 3, 8), None) for size in (2, 1)]
    both = StackedActivations(tuple(statistics(one) for one in stacks))
    assert both.cosine.shape == (5, 5)
    np.testing.assert_array_equal(both.cosine[:3, :3], both.stacks[0].cosine)
    np.testing.assert_array_equal(both.cka[3:, 3:], both.stacks[1].cka)
    assert np.isnan(both.cosine[:3, 3:]).all()
    assert both.diversity.shape == (3,)
    part = StackedActivations.join([both, both]).subset(torch.tensor([0, 5]))
    np.testing.assert_array_equal(part.stacks[1].means, both.stacks[1].means[[0, 1]])


def test_scores_of_two_stacks_are_those_of_each(contexts):
    torch.manual_seed(0)
    stacks = [Trace(torch.randn(size + 1, 4, 3, 8), None) for size in (3, 2)]
    both = StackedActivations(tuple(statistics(one) for one in stacks))
    options = Scoring()
    names = ["few_layer", "block_influence", "angular", "cka"]
    joint = score_all(names, {"activations": both}, options)
    for place, first, last in ((0, 0, 3), (1, 3, 5)):
        alone = StackedActivations((both.stacks[place],))
        own = score_all(names, {"activations": alone}, options)
        for name in names:
            assert joint[name].values[first:last] == own[name].values
            for size, mask in joint[name].masks.items():
                inside = [block - first for block in mask if first <= block < last]
                assert inside == list(own_mask(own[name], len(inside)))
                assert inside or size < 2  # of every stack one block, as soon as there are two
