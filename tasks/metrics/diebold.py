"""Diebold and Mariano's test, beside the bootstrap of `paired`, on the same errors by offset.

Diebold and Mariano (1995) with the small-sample correction of Harvey, Leybourne and Newbold
(1997), equations 8 and 9. For non-inferiority the loss differential is pruned - (1 + m) other.
"""

import numpy as np
from jaxtyping import Float64
from scipy import stats

from tasks.artifacts.evaluation import DieboldMariano
from tasks.metrics.paired import verdict_by


def diebold_mariano(
    other: Float64[np.ndarray, " offsets"],
    pruned: Float64[np.ndarray, " offsets"],
    *,
    overlap: int,
    margin: float,
    alpha: float,
) -> DieboldMariano:
    """Both one-sided tests, the two-sided one, and the verdict that follows from them.

    Args:
        other: errors of the other model by offset.
        pruned: errors of the pruned model by offset.
        overlap: offsets whose targets overlap (horizon over stride); autocovariances up to
            overlap - 1 count, with Bartlett's weights where the plain sum is not positive.
        margin: relative to the other model's error.
        alpha: level of the verdict.
    """
    statistic, p_superior, p_worse = _one_sided(pruned - other, overlap)
    _, p_noninferior, p_inferior = _one_sided(pruned - (1 + margin) * other, overlap)
    return DieboldMariano(
        statistic=statistic,
        p_value=min(1.0, 2 * min(p_superior, p_worse)),
        p_superior=p_superior,
        p_noninferior=p_noninferior,
        p_inferior=p_inferior,
        verdict=verdict_by(p_noninferior, p_superior, p_inferior, alpha=alpha),
    )


def _one_sided(loss: Float64[np.ndarray, " offsets"], overlap: int) -> tuple[float, float, float]:
    """The statistic of a mean loss of 0, and the p-values of H0: mean >= 0 and H0: mean <= 0.

    A loss that does not vary says nothing: both p-values are 1.
    """
    num = len(loss)
    steps = min(overlap, num)
    centred = loss - loss.mean()
    lags = np.array([centred[lag:] @ centred[: num - lag] for lag in range(steps)]) / num
    variance = lags[0] + 2 * lags[1:].sum()
    if variance <= 0:
        variance = lags[0] + 2 * ((1 - np.arange(1, steps) / steps) * lags[1:]).sum()
    if variance <= 0:
        return 0.0, 1.0, 1.0
    correction = max(num + 1 - 2 * steps + steps * (steps - 1) / num, 0.0) / num
    statistic = float(loss.mean() / np.sqrt(variance / num) * np.sqrt(correction))
    below, above = stats.t.cdf(statistic, num - 1), stats.t.sf(statistic, num - 1)
    return statistic, float(below), float(above)
