"""Local search by swaps: one kept block of the best mask for a dropped one."""

from collections.abc import Sequence

from tasks.masks.mask import Mask
from tasks.searchers.mask_sampler import MaskSampler, Measured, swaps
from tasks.searchers.process import MaskProcess


class SwapSampler(MaskSampler):
    """Proposes the swap of the best mask that promises most, until none is left to measure.

    A better mask is the best one from the next trial on, so the search moves to it. When every
    swap of the best was measured it is a local optimum, and the search goes on from the next best
    mask that has a swap left. Swaps are ordered by what a Gaussian process expects of them, in
    which masks are alike when they jump alike, too.
    """

    def propose(self, measured: Measured, pending: Sequence[Mask], size: int) -> Mask:
        """The most promising swap of the best mask; a random mask where none is measured."""
        taken = {*measured, *pending}
        for best in sorted(measured, key=lambda mask: (measured[mask], mask)):
            free = [mask for mask in swaps(best, self.num_blocks) if mask not in taken]
            if free and len(measured) > 1:
                process = MaskProcess(
                    list(measured),
                    list(measured.values()),
                    self.num_blocks,
                    self.num_kinds,
                    jumps=True,
                )
                return free[int(process.forecast(free).mean.argmin())]
            if free:
                return free[int(self.generator.integers(len(free)))]
        return self.random_mask(size, taken)
