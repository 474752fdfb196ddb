"""The search space: a count k and one priority per block; the top k blocks are kept.

Every trial is feasible, and every mask of a wanted size can be written as one.
"""

from collections.abc import Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import Trial

from tasks.masks.mask import Mask, top_mask

COUNT = "k"


def distributions(sizes: Sequence[int], num_blocks: int) -> dict[str, BaseDistribution]:
    """Optuna's description of the space."""
    space: dict[str, BaseDistribution] = {COUNT: CategoricalDistribution(tuple(sizes))}
    return space | {f"p{block}": FloatDistribution(0, 1) for block in range(num_blocks)}


def suggest(trial: Trial, sizes: Sequence[int], num_blocks: int) -> Mask:
    """The mask a sampler proposes."""
    size = trial.suggest_categorical(COUNT, tuple(sizes))
    return top_mask([trial.suggest_float(f"p{b}", 0, 1) for b in range(num_blocks)], int(size))


def encode(mask: Mask, num_blocks: int) -> dict[str, float | int]:
    """Parameters that stand for a mask: priority 1 for kept blocks, 0 for the others."""
    priorities = {f"p{block}": float(block in mask) for block in range(num_blocks)}
    return {COUNT: len(mask), **priorities}


def decode(parameters: dict[str, float | int], num_blocks: int) -> Mask:
    """The mask that parameters stand for."""
    priorities = [float(parameters[f"p{block}"]) for block in range(num_blocks)]
    return top_mask(priorities, int(parameters[COUNT]))
