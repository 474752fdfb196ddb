"""Optuna's samplers, made anew for every trial from a seed of its own.

A sampler with a running random state would continue differently after a restart; one that is
seeded by the trial's number does not, so a resumed search equals an uninterrupted one.
"""

from typing import Literal

from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

SamplerName = Literal["tpe", "nsga2", "random"]
STARTUP_TRIALS = 10


def make_sampler(name: SamplerName, seed: int) -> BaseSampler:
    """A sampler for one trial."""
    if name == "tpe":
        return TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed)
    if name == "nsga2":
        return NSGAIISampler(population_size=20, seed=seed)
    return RandomSampler(seed=seed)
