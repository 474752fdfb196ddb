"""From every forecaster's outcome on the test windows to tables and paired comparisons."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.evaluation import DieboldMariano, Evaluation
from tasks.data.series import SeriesSet
from tasks.data.windows import WindowSet
from tasks.metrics.diebold import diebold_mariano
from tasks.metrics.paired import Comparison, block_length_for, compare, errors_by_offset
from tasks.metrics.panel import Outcome
from tasks.sections.judging import Evaluation as EvaluationParams

DECIMALS = 6

Compared = tuple[Comparison, DieboldMariano]


def compare_with_all(
    outcomes: Mapping[str, Outcome],
    windows: pd.DataFrame,
    *,
    shape: WindowSet,
    settings: EvaluationParams,
    generator_for: Callable[[str], np.random.Generator],
) -> dict[str, Compared]:
    """The outcome "pruned" against every other one, on the same windows.

    A control without any error (seasonal naive on a periodic series) allows no relative
    difference and is left out; of "full" that is an error, see `compare`.

    Args:
        outcomes: by forecaster.
        windows: `series`, `offset` and `points` of each window.
        shape: context, horizon and stride of the windows.
        settings: margin, alpha and number of bootstrap samples.
        generator_for: a generator for each forecaster's name.
    """
    points, offsets = windows["points"].to_numpy(), windows["offset"].to_numpy()
    totals = {
        name: errors_by_offset(outcome.windows, points, offsets)
        for name, outcome in outcomes.items()
    }
    length = block_length_for(
        len(totals["pruned"]), context=shape.context, horizon=shape.horizon, stride=shape.stride
    )
    overlap = -(-shape.horizon // shape.stride)
    return {
        name: (
            compare(
                other,
                totals["pruned"],
                block_length=length,
                margin=settings.margin,
                alpha=settings.alpha,
                samples=settings.bootstrap_samples,
                generator=generator_for(name),
            ),
            diebold_mariano(
                other,
                totals["pruned"],
                overlap=overlap,
                margin=settings.margin,
                alpha=settings.alpha,
            ),
        )
        for name, other in totals.items()
        if name == "full" or (name != "pruned" and other.sum() > 0)
    }


def step_table(outcomes: Mapping[str, Outcome], horizon: int) -> pd.DataFrame:
    """One row per step of the horizon (from 1), one MSE column per forecaster."""
    steps = {"step": np.arange(1, horizon + 1)}
    return pd.DataFrame(steps | {name: outcome.per_step for name, outcome in outcomes.items()})


def sample_forecasts(
    outcomes: Mapping[str, Outcome], data: SeriesSet, windows: WindowSet, samples: Tensor
) -> list[dict[str, object]]:
    """The sample windows with the forecasts "full" and "pruned"; None where a value is missing.

    `start` is the window's place in its series' test range, in rows.
    """
    series, places = windows.locate(samples)
    shown = min(windows.context, 2 * windows.horizon)
    found: list[dict[str, object]] = []
    for row, index in enumerate(samples):
        window = windows.batch(index[None])[0].numpy()
        found.append(
            {
                "series": data.series[int(series[row])].name,
                "start": int(places[row]) * windows.stride,
                "context": _plain(window[windows.context - shown : windows.context]),
                "actual": _plain(window[windows.context :]),
                "full": _plain(outcomes["full"].samples[row]),
                "pruned": _plain(outcomes["pruned"].samples[row]),
            }
        )
    return found


def _plain(values: Float[np.ndarray, " length"]) -> list[float | None]:
    return [None if np.isnan(one) else round(float(one), DECIMALS) for one in values]


def headline(evaluation: Evaluation) -> dict[str, float | int | str]:
    """The few numbers that `dvc metrics show` and `dvc metrics diff` print."""
    return {
        "mse_full": evaluation.full.mse,
        "mse_pruned": evaluation.pruned.mse,
        "mae_full": evaluation.full.mae,
        "mae_pruned": evaluation.pruned.mae,
        "difference": evaluation.difference,
        "p_value": evaluation.p_value,
        "verdict": evaluation.verdict,
        "layers_kept": evaluation.layers_kept,
        "layers_full": evaluation.layers_full,
    }
