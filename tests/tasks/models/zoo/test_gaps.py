"""Gaps are interpolated, ends repeated."""

import numpy as np
import torch

from tasks.models.zoo.gaps import filled, first_observed

NAN = float("nan")


def test_gaps_are_interpolated_as_numpy_does():
    context = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    context[torch.rand(20, 30, generator=torch.Generator().manual_seed(1)) < 0.6] = NAN
    starts = first_observed(context).tolist()
    for row, found, start in zip(context.numpy(), filled(context).numpy(), starts, strict=True):
        seen = np.flatnonzero(np.isfinite(row))
        np.testing.assert_allclose(found, np.interp(np.arange(30), seen, row[seen]), atol=1e-5)
        assert start == seen[0]


def test_observed_values_stay_and_nothing_observed_is_zero():
    context = torch.tensor([[NAN, 1.0, NAN, 4.0], [NAN] * 4, [float("inf"), 2.0, 2.0, 2.0]])
    assert filled(context).tolist() == [[1.0, 1.0, 2.5, 4.0], [0.0] * 4, [2.0] * 4]
    assert first_observed(context).tolist() == [1, 0, 1]


def test_gradients_reach_observed_values_and_stay_finite():
    context = torch.tensor([[NAN, 1.0, NAN, 4.0], [NAN] * 4]).requires_grad_()
    filled(context).sum().backward()
    assert context.grad is not None
    assert torch.isfinite(context.grad).all()
    assert context.grad[0, 1] == 2.5
