"""What racing over windows saves on the models that `make real` trained."""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.data.series import load_series
from tasks.data.windows import validation_windows
from tasks.masks.mask import Mask
from tasks.metrics.latency import torch_threads
from tasks.models.registry import load_model
from tasks.params import load_params
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.race import Race, race

MODEL = "tsfm-nano"
SIZES = (2, 3, 4)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Saving:
    """A race over measuring every mask on all windows: the worst of the seeds.

    Attributes:
        share: of the window evaluations; 1 where a best mask of a size is not the same.
        seconds: of the time.
    """

    share: float
    seconds: float


def racing_saving(root: Path, dataset: str) -> Saving | None:
    """All masks of 2, 3 and 4 blocks raced on a dataset; None where its model is not trained.

    Args:
        root: the workspace of a preset.
        dataset: its name.
    """
    folder = root / "models/full" / dataset / MODEL
    if not (folder / "config.json").is_file():
        return None
    params = load_params(root / "params.yaml")
    model = load_model(folder)
    history = load_series(root / "data/prepared" / dataset / "history")
    source = validation_windows(history, params.windows.context, params.windows.horizon)
    windows = source.batch(source.spaced(params.search.valid_windows))
    masks = [m for size in SIZES for m in itertools.combinations(range(model.num_blocks), size)]
    shares: list[float] = []
    ratios: list[float] = []
    with torch_threads(1):
        started = time.perf_counter()
        errors = dict(zip(masks, MaskEvaluator(model, windows).errors(masks), strict=True))
        whole = time.perf_counter() - started
        for seed in SEEDS:
            started = time.perf_counter()
            found = race(
                MaskEvaluator(model, windows),
                masks,
                top=params.search.heal_top,
                alpha=params.search.racing_alpha,
                seed=seed,
            )
            ratios.append((time.perf_counter() - started) / whole)
            shares.append(found.share if chooses_the_same(found, errors) else 1.0)
    return Saving(max(shares), max(ratios))


def chooses_the_same(found: Race, errors: dict[Mask, float]) -> bool:
    """Whether the best mask of every size is the one that all windows choose."""
    return all(
        min((m for m in errors if len(m) == size), key=found.errors.__getitem__)
        == min((m for m in errors if len(m) == size), key=errors.__getitem__)
        for size in SIZES
    )
