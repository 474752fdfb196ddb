"""The simulated errors are what the table says of them."""

import numpy as np
import pandas as pd
import pytest

from tests.bench.verdicts import (
    DIFFERENCES,
    NOISES,
    TESTS,
    VERDICTS,
    Shape,
    autoregression,
    false_inferior,
    false_share,
    false_superior,
    pairs,
    power,
    shares,
    window_means,
)

SMALL = Shape("small", 400, 4)
HORIZON = SMALL.horizon


def test_window_means_are_means_of_windows() -> None:
    points = np.random.default_rng(0).random((2, HORIZON + 10))
    found = window_means(points, HORIZON)
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


def test_shares_of_wrong_verdicts_are_the_worst_of_their_differences() -> None:
    given = {  # by true difference: superior, non-inferior, inconclusive, inferior
        -0.02: (0.90, 0.05, 0.05, 0.00),
        0.00: (0.04, 0.40, 0.55, 0.01),
        0.02: (0.01, 0.03, 0.93, 0.03),
        0.05: (0.00, 0.01, 0.39, 0.60),
    }
    rows = [
        {"shape": "s", "noise": "n", "difference": difference, "test": test}
        | dict(zip(VERDICTS, shares, strict=True))
        for difference, shares in given.items()
        for test in TESTS
    ]
    table = pd.DataFrame(rows)
    table.loc[table["test"] == TESTS[1], "superior"] += 1  # is another test's
    assert false_share(table, test=TESTS[0]) == pytest.approx(0.04)
    assert false_superior(table, test=TESTS[0]) == pytest.approx(0.04)
    assert false_inferior(table, test=TESTS[0]) == pytest.approx(0.03)
    found = power(table, test=TESTS[0], shape="s", noise="n", difference=-0.02)
    assert found == pytest.approx(0.95)
