"""What sharing prefixes saves, against every mask measured alone; both sides in one run."""

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch

from tasks.data.windows import validation_windows
from tasks.masks.errors import mean_error, window_errors
from tasks.masks.mask import Mask, random_masks
from tasks.metrics.latency import interleaved_seconds, torch_threads
from tasks.models.native import NativeModel
from tasks.params import Params
from tasks.scorers.removal_loss import removal_loss
from tasks.scorers.removals import measure_removals
from tasks.training.loop import validation_mse
from tests.bench.speed import CONTEXT, HORIZON, model_of
from tests.tiny import tiny_series

REPEATS = 7
WINDOWS = 128
MODEL = "tsfm-nano"


def removal_ratio(params: Params, blocks: int) -> float:
    """Time of the removal losses of all blocks over that of each block removed alone."""
    model, windows = deep_model(params, blocks), bench_windows()
    whole = tuple(range(blocks))
    masks = [whole, *(tuple(b for b in whole if b != dropped) for dropped in whole)]

    def naive() -> list[float]:
        base, *errors = one_by_one(model, masks, windows)
        return [error - base for error in errors]

    return time_ratio(lambda: removal_loss(measure_removals(model, windows)).values, naive)


def random_masks_ratio(params: Params) -> float:
    """Time of 200 random masks of 3 to 6 of 12 blocks together over that of each alone."""
    model, windows = deep_model(params, 12), bench_windows()
    rng = np.random.default_rng(0)
    masks = [mask for size in (3, 4, 5, 6) for mask in random_masks(12, size, 50, rng)]
    target = windows[:, CONTEXT:]

    def together() -> list[float]:
        return [mean_error(sums, target) for sums in window_errors(model, masks, windows)]

    return time_ratio(together, lambda: one_by_one(model, masks, windows))


def deep_model(params: Params, blocks: int) -> NativeModel:
    """The model entry at nano with this many blocks, randomly initialised."""
    scale = params.scales["nano"].model_copy(update={"blocks": blocks})
    scales = {**params.scales, "nano": scale}
    return model_of(params.model_copy(update={"scales": scales}), MODEL).eval()


def bench_windows() -> torch.Tensor:
    """Windows of noisy waves."""
    windows = validation_windows(tiny_series(length=12_000), CONTEXT, HORIZON)
    return windows.batch(windows.spaced(WINDOWS))


def one_by_one(model: NativeModel, masks: Sequence[Mask], windows: torch.Tensor) -> list[float]:
    """The errors of masks, each measured alone."""
    errors: list[float] = []
    for mask in masks:
        with model.only(mask):
            errors.append(validation_mse(model, windows))
    return errors


def time_ratio(shared: Callable[[], list[float]], naive: Callable[[], list[float]]) -> float:
    """Median time of `shared` over that of `naive`, on one thread; both must agree bit for bit."""
    with torch_threads(1):
        if shared() != naive():
            raise RuntimeError("masks measured together differ from masks measured alone")
        seconds = interleaved_seconds(
            {"shared": shared, "naive": naive},
            repeats=REPEATS,
            warmup=1,
            device=torch.device("cpu"),
        )
    return median(seconds["shared"]) / median(seconds["naive"])
