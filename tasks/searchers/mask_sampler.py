"""What Optuna samplers that propose whole masks share."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from tasks.masks.mask import Mask
from tasks.searchers.space import decode, distributions, encode

Measured = Mapping[Mask, float]  # validation error by mask


class MaskSampler(BaseSampler, abc.ABC):
    """Proposes a mask that was not measured yet, from the trials of the study alone.

    Of the wanted sizes the one with the fewest measured masks comes next, so that each gets its
    share of the trials; the first objective is the error.
    """

    def __init__(
        self, sizes: Sequence[int], num_blocks: int, seed: int, num_kinds: int = 1
    ) -> None:
        """`seed` decides where chance is needed; a sampler is made for one trial.

        `num_kinds` kinds of blocks take turns in the stack.
        """
        self.sizes, self.num_blocks, self.num_kinds = list(sizes), num_blocks, num_kinds
        self.generator = np.random.default_rng(seed)
        self.fallback = RandomSampler(seed=seed)

    @abc.abstractmethod
    def propose(self, measured: Measured, pending: Sequence[Mask], size: int) -> Mask:
        """A mask of this size that is neither measured nor pending; at least one is left.

        Args:
            measured: errors of the masks of this size.
            pending: masks of this size that are being measured.
            size: number of kept blocks.
        """

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The whole space: count and priorities are chosen together."""
        del study, trial
        return distributions(self.sizes, self.num_blocks)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters that stand for the proposed mask; none when every mask is measured."""
        del search_space
        measured: dict[Mask, float] = {}
        for done in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            measured[decode(done.params, self.num_blocks)] = done.values[0]
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        pending = [
            decode(other.params, self.num_blocks)
            for other in running
            if other.number != trial.number
        ]
        size = self._next_size([*measured, *pending])
        if size is None:
            return {}
        own = {mask: error for mask, error in measured.items() if len(mask) == size}
        mask = self.propose(own, [mask for mask in pending if len(mask) == size], size)
        return encode(mask, self.num_blocks)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value, where every mask is measured."""
        return self.fallback.sample_independent(study, trial, param_name, param_distribution)

    def random_mask(self, size: int, taken: Iterable[Mask]) -> Mask:
        """A random mask of this size that is not taken; at least one must be free."""
        known = set(taken)
        while True:
            chosen = self.generator.choice(self.num_blocks, size, replace=False)
            mask = tuple(sorted(int(block) for block in chosen))
            if mask not in known:
                return mask

    def _next_size(self, taken: Sequence[Mask]) -> int | None:
        counts = dict.fromkeys(self.sizes, 0)
        for mask in set(taken):
            if len(mask) in counts:
                counts[len(mask)] += 1
        open_sizes = [size for size in self.sizes if counts[size] < comb(self.num_blocks, size)]
        return min(open_sizes, key=lambda size: (counts[size], size), default=None)


def swaps(mask: Mask, num_blocks: int) -> list[Mask]:
    """The masks that differ from this one by one kept block, in ascending order."""
    dropped = [block for block in range(num_blocks) if block not in mask]
    return sorted(
        tuple(sorted((*(kept for kept in mask if kept != out), new)))
        for out in mask
        for new in dropped
    )
