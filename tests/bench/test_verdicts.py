"""The simulated errors are what the table says of them."""

import numpy as np
import pytest

from tests.bench.verdicts import (
    DIFFERENCES,
    HORIZON,
    NOISES,
    TESTS,
    VERDICTS,
    Shape,
    autoregression,
    false_share,
    pairs,
    power,
    shares,
    window_means,
)

SMALL = Shape("small", 400, 4)


def test_window_means_are_means_of_windows() -> None:
    points = np.random.default_rng(0).random((2, HORIZON + 10))
    found = window_means(points)
    assert found.shape == (2, 11)
    assert found[1, 7] == pytest.approx(points[1, 7 : 7 + HORIZON].mean())


def test_autoregression_has_variance_one_and_its_memory() -> None:
    found = autoregression(np.random.default_rng(1), (50, 4000), 0.8)
    assert found.var() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(found[:, 1:].ravel(), found[:, :-1].ravel())[0, 1] == pytest.approx(
        0.8, abs=0.01
    )


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_both_models_are_equally_good_before_the_difference_is_put_in(noise) -> None:
    full, pruned = (np.array(part) for part in zip(*pairs(SMALL, noise, 50, seed=0), strict=True))
    assert full.shape == pruned.shape == (50, 400)
    gaps = pruned.mean(axis=1) - full.mean(axis=1)
    assert abs(gaps.mean()) < 4 * gaps.std() / np.sqrt(50)


def test_every_simulation_gets_one_verdict() -> None:
    table = shares(SMALL, NOISES[0], at_boundary=6, elsewhere=3)
    assert len(table) == len(DIFFERENCES) * len(TESTS)
    np.testing.assert_allclose(table[list(VERDICTS)].sum(axis=1), 1)
    assert table.groupby("difference")["simulations"].first().to_dict()[0.02] == 6
    assert 0 <= false_share(table, test="bootstrap") <= 1
    best = power(table, test="bootstrap", shape="small", noise=NOISES[0].name, difference=-0.02)
    worst = power(table, test="bootstrap", shape="small", noise=NOISES[0].name, difference=0.05)
    assert best >= worst
