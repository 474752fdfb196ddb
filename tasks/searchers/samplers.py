"""The samplers of the search, made anew for every trial from a seed of its own.

A sampler with a running random state would continue differently after a restart; one that is
seeded by the trial's number does not, so a resumed search equals an uninterrupted one.
"""

from collections.abc import Sequence

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from tasks.searchers.surrogate import SurrogateSampler
from tasks.searchers.swap import SwapSampler
from tasks.sections.search import SamplerName

STARTUP_TRIALS = 10
POPULATION = 20


def make_sampler(
    name: SamplerName, *, sizes: Sequence[int], num_blocks: int, seed: int, num_kinds: int = 1
) -> BaseSampler:
    """A sampler for one trial.

    Args:
        name: `swap` and `surrogate` are ours; `tpe` (multivariate, Falkner et al. 2018), `gp`
            (expected hypervolume improvement), `nsga2` (Deb et al. 2002) and `random` Optuna's.
        sizes: wanted numbers of kept blocks.
        num_blocks: of the model.
        seed: of this trial.
        num_kinds: kinds of blocks that take turns in the stack; only ours use it.
    """
    match name:
        case "surrogate":
            return SurrogateSampler(sizes, num_blocks, seed, num_kinds)
        case "swap":
            return SwapSampler(sizes, num_blocks, seed, num_kinds)
        case "tpe":
            return TPESampler(n_startup_trials=STARTUP_TRIALS, multivariate=True, seed=seed)
        case "gp":
            return GPSampler(n_startup_trials=STARTUP_TRIALS, seed=seed)
        case "nsga2":
            return NSGAIISampler(population_size=POPULATION, seed=seed)
        case "random":
            return RandomSampler(seed=seed)
