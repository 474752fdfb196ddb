"""How the scores move with the calibration windows."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tasks.artifacts.scoring import CalibrationSensitivity, CalibrationSetting, Table
from tasks.data.windows import WindowSet
from tasks.runtime import seed_for
from tasks.scorers.calibration import Calibration, draw_windows
from tasks.scorers.table import SCORERS, Evidence, Kind, Meter, score_all
from tasks.searchers.rungs import rank_correlation

BY_WINDOW: tuple[Kind, ...] = ("activations", "removals")  # evidence of some windows is a part


def calibration_sensitivity(
    meter: Meter, source: WindowSet, own: Calibration, evidence: Mapping[Kind, Evidence]
) -> CalibrationSensitivity | None:
    """Kendall's tau of every score between draws of calibration windows, the run's own first.

    Only scores whose evidence is known window by window take part: the windows of all draws are
    measured once, and each draw takes its part. None where no other draw is asked for.
    """
    options, wanted = meter.options, meter.options.sensitivity
    others = [
        draw_windows(source, count, draw, seed=seed_for(meter.seed, "draw", draw, count))
        for draw in wanted.draws
        for count in wanted.windows
    ]
    if not others:
        return None
    names = [name for name in options.scores if SCORERS[name].needs in BY_WINDOW]
    drawn = torch.cat([one.index for one in others]).unique()
    more = drawn[~torch.isin(drawn, own.index)]
    measured = _widen(meter, source.batch(more), evidence)
    order = torch.cat([own.index, more])
    tables = []
    for one in (own, *others):
        rows = _places(order, one.index)
        part = {kind: found.subset(rows) for kind, found in measured.items()}
        tables.append(score_all(names, part, options))
    settings = [CalibrationSetting(draw=one.draw, windows=len(one.index)) for one in (own, *others)]
    agreement: dict[str, Table] = {
        name: [[rank_correlation(a[name].values, b[name].values) for b in tables] for a in tables]
        for name in names
    }
    return CalibrationSensitivity(settings=settings, agreement=agreement)


def _widen(
    meter: Meter, windows: Float[Tensor, "windows length"], evidence: Mapping[Kind, Evidence]
) -> dict[Kind, Evidence]:
    """The evidence by window with that of more windows after it."""
    known = {kind: evidence[kind] for kind in BY_WINDOW if kind in evidence}
    if not len(windows):
        return known
    return {
        kind: found.join([found, meter.measure(kind, windows)]) for kind, found in known.items()
    }


def _places(order: Int64[Tensor, " all"], index: Int64[Tensor, " some"]) -> Int64[Tensor, " some"]:
    """Where the windows of `index` stand in `order`."""
    by_value, place = order.sort()
    return place[torch.searchsorted(by_value, index)]
