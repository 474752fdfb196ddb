"""Gradients and the first-order score made of them."""

import contextlib
import copy

import pytest
import torch

from tasks.errors import ParamsError
from tasks.scorers.gates import learn_gates
from tasks.scorers.gradients import (
    Gradients,
    forecast_error,
    measure_gradients,
    requiring_gradients,
)
from tasks.scorers.taylor import taylor
from tasks.sections.scoring import Gate
from tasks.training.loop import validation_mse
from tests.tiny import tiny_model, tiny_windows


def slow_saliency(model, windows):
    """Sum |dL/dW * W| of every block of an all-trainable copy, by an ordinary backward pass."""
    model = copy.deepcopy(model).requires_grad_(True)
    forecast_error(model, windows).backward()
    return [
        sum(float((p.grad * p.detach()).abs().sum()) for p in block.parameters())
        for block in model.blocks()["h"]
    ]


def test_the_error_is_the_one_that_is_validated():
    model, windows = tiny_model(), tiny_windows(8)
    error = float(forecast_error(model, windows).detach())
    assert error == pytest.approx(validation_mse(model, windows), rel=1e-5)


@pytest.mark.parametrize("family", ["tsfm", "llm4ts"])
def test_saliency_is_the_mean_over_batches_frozen_weights_included(family):
    model, windows = tiny_model(family=family), tiny_windows(8)
    score = taylor(measure_gradients(model, windows, 6))
    first, second = slow_saliency(model, windows[:6]), slow_saliency(model, windows[6:])
    expected = [(6 * a + 2 * b) / 8 for a, b in zip(first, second, strict=True)]
    assert score.values == pytest.approx(expected, rel=1e-4)


def test_the_model_stays_as_it_was():
    model = tiny_model(family="llm4ts")
    frozen = [parameter.requires_grad for parameter in model.parameters()]
    assert not all(frozen)
    measure_gradients(model, tiny_windows(4), 4)
    assert [parameter.requires_grad for parameter in model.parameters()] == frozen
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_weights_are_frozen_again_after_an_error():
    model = tiny_model(family="llm4ts")
    frozen = [parameter.requires_grad for parameter in model.parameters()]
    with contextlib.suppress(KeyError), requiring_gradients(list(model.parameters())):
        assert all(parameter.requires_grad for parameter in model.parameters())
        raise KeyError
    assert [parameter.requires_grad for parameter in model.parameters()] == frozen


def test_taylor_adds_the_parts_of_a_block():
    assert taylor(Gradients([{"attn": 1.0, "mlp": 2.5}, {"attn": 0.5}])).values == [3.5, 0.5]


def test_a_family_that_gives_no_gradients_so_far_is_refused(monkeypatch):
    model = tiny_model()
    forecast = model.forecast
    monkeypatch.setattr(model, "forecast", torch.no_grad()(forecast))
    for measure in (
        lambda: measure_gradients(model, tiny_windows(4), 4),
        lambda: learn_gates(model, tiny_windows(4), 4, Gate(steps=2), seed=0),
    ):
        with pytest.raises(ParamsError, match=r"taylor and gate need gradients, and tsfm gives"):
            measure()
