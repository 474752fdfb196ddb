"""Search by a surrogate: the mask from which a Gaussian process expects most improvement."""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from tasks.masks.mask import Mask
from tasks.searchers.mask_sampler import MaskSampler, Measured, swaps
from tasks.searchers.process import MaskProcess

STARTUP = 6  # masks of a size before the process is asked; random ones where scores gave fewer
LISTED = 4096  # masks of a size that are all weighed against each other
CENTRES = 16  # else: the swaps of so many of the best ...
STRANGERS = 1024  # ... and so many random masks
FITTED = 512  # measured masks the process is fitted to, the best ones


class SurrogateSampler(MaskSampler):
    """Proposes the mask of the highest expected improvement (Jones et al. 1998).

    A mask that is being measured counts as measured with its expected error (the kriging believer
    of Ginsbourger et al. 2010), so that trials of one batch spread out.
    """

    def propose(self, measured: Measured, pending: Sequence[Mask], size: int) -> Mask:
        """The most promising mask; a random one at the start."""
        if len(measured) + len(pending) < STARTUP or len(measured) < 2:
            return self.random_mask(size, {*measured, *pending})
        best = sorted(measured, key=lambda mask: (measured[mask], mask))[:FITTED]
        process = self._process(best, [measured[mask] for mask in best])
        if pending:
            believed = process.expected_errors(pending)
            errors = [*(measured[mask] for mask in best), *map(float, believed)]
            process = self._process([*best, *pending], errors)
        taken = {*measured, *pending}
        free = [mask for mask in self._candidates(best, size) if mask not in taken]
        if not free:
            return self.random_mask(size, taken)
        return free[int(process.forecast(free).expected_improvement().argmax())]

    def _process(self, masks: Sequence[Mask], errors: Sequence[float]) -> MaskProcess:
        return MaskProcess(masks, errors, self.num_blocks, self.num_kinds)

    def _candidates(self, best: Sequence[Mask], size: int) -> list[Mask]:
        if comb(self.num_blocks, size) <= LISTED:
            return list(combinations(range(self.num_blocks), size))
        near = [mask for centre in best[:CENTRES] for mask in swaps(centre, self.num_blocks)]
        order = np.argsort(self.generator.random((STRANGERS, self.num_blocks)), axis=1)
        far = [tuple(row) for row in np.sort(order[:, :size], axis=1).tolist()]
        return list(dict.fromkeys([*near, *far]))
