"""Stage `stability`: which blocks other windows, another period or a shorter horizon would keep.

Everything is measured on the trained full model, before healing. What needs another training, a
longer horizon or another seed, is compared between the cells of a study (metrics/study_stability).
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from tasks.artifacts.search import SearchResult
from tasks.data.series import SeriesSet, load_series
from tasks.data.windows import WindowSet, training_windows, validation_windows
from tasks.errors import DataError
from tasks.masks.best import best_mask
from tasks.metrics.stability import Axis, Setting, Stability, setting_of
from tasks.models.base import ForecastModel
from tasks.models.registry import load_in_units
from tasks.params import Params
from tasks.runtime import (
    Progress,
    load_selected,
    pick_device,
    run_stage,
    seed_for,
    stage_parser,
)
from tasks.scorers.table import Meter, kinds_of, score_all
from tasks.sections.scoring import ScoreName, Scoring
from tasks.training.fit import write_timing

SCORES: list[ScoreName] = ["few_layer", "block_influence", "removal_loss"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One setting to measure: where its windows are drawn from and how long they forecast."""

    axis: Axis
    label: str
    source: WindowSet
    horizon: int


def changes(params: Params, data: SeriesSet) -> Iterator[Change]:
    """All settings: draws of validation windows, halves of the training period, shorter horizons.

    Every one draws its own windows, so that what two settings share is not their noise. A half
    that is too short for a window is left out and logged.
    """
    context, horizon = params.windows.context, params.windows.horizon
    valid = validation_windows(data, context, horizon)
    for number in range(params.stability.draws):
        yield Change("calibration", f"draw {number + 1}", valid, horizon)
    if params.stability.halves:
        first = tuple(replace(one, train_end=one.train_end // 2) for one in data.series)
        try:
            halves = [
                training_windows(SeriesSet(data.values, first), context, horizon),
                training_windows(data, context, horizon, share=0.5),
            ]
        except DataError:
            log.warning("stability: half of the training period holds no window; left out")
        else:
            for label, half in zip(("first half", "second half"), halves, strict=True):
                yield Change("period", label, half, horizon)
    for shorter in params.stability.horizons:
        if shorter < horizon:
            yield Change("horizon", f"horizon {shorter}", valid, shorter)


def block_scores(
    model: ForecastModel, windows: Tensor, options: Scoring, seed: int
) -> dict[str, list[float]]:
    """The scores that need no gradient, on windows of context + horizon values."""
    meter = Meter(model, options, seed)
    evidence = {kind: meter.measure(kind, windows) for kind in kinds_of(SCORES)}
    return {name: score.values for name, score in score_all(SCORES, evidence, options).items()}


def choose(params: Params, model: ForecastModel, change: Change, size: int, seed: int) -> Setting:
    """What one setting chooses."""
    options = params.stability
    generator = torch.Generator().manual_seed(seed)
    windows = change.source.batch(change.source.draw(options.windows, generator))
    windows = windows[:, : params.windows.context + change.horizon]
    windows = windows.to(next(model.parameters()).device)
    return setting_of(
        change.axis,
        change.label,
        best_mask(model, windows, size, exhaustive_limit=options.exhaustive_limit),
        block_scores(model, windows, params.scoring, seed),
    )


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + search -> stability/DATASET/MODEL.json."""
    parser = stage_parser(
        "tasks.stability",
        "Finds the blocks that other windows, periods and horizons would keep.",
        selects=["dataset", "model"],
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, started = f"{args.dataset}/{args.model}", time.perf_counter()
    search = SearchResult.read(Path("search") / pair / "search.json")
    device = pick_device(params.runtime.device)
    model = load_in_units(Path("models/full") / pair, search.granularity, device)
    history = load_series(Path("data/prepared") / args.dataset / "history")
    todo = list(changes(params, history))
    settings: list[Setting] = []
    with Progress(f"stability {pair}", len(todo)) as progress:
        for change in todo:
            seed = seed_for(params.seed, "stability", pair, change.label)
            settings.append(choose(params, model, change, len(search.keep), seed))
            progress.update(len(settings), change.label)
    Stability(
        dataset=args.dataset,
        model=args.model,
        granularity=search.granularity,
        num_blocks=model.num_blocks,
        keep=search.keep,
        windows=params.stability.windows,
        settings=settings,
    ).write(Path("stability") / f"{pair}.json")
    write_timing("stability", pair, started)


if __name__ == "__main__":
    run_stage(main)
