"""The paper's idea, our reconstruction (arXiv 2511.07237 gives no public formula)."""

import numpy as np
from jaxtyping import Float

from tasks.artifacts.scoring import Score
from tasks.scorers.activations import Activations
from tasks.sections.scoring import FewLayer


def few_layer(activations: Activations, options: FewLayer) -> Score:
    """Inter-layer shift combined with intra-layer diversity, each min-max scaled over the blocks.

    R_l = sum_{k=1..min(K, l)} alpha^(k-1) (1 - cos(h_l, h_{l-k})) / sum alpha^(k-1), and V_l as
    in `Activations.diversity`. Both are combined by mean or product. Exempt blocks get the
    highest score. The automatic count is the smallest number of top blocks whose share of the
    total reaches tau. Higher = keep; between 0 and 1; does not depend on the scale of the data.
    """
    return combine(activations.cosine, activations.diversity, options)


def combine(
    cosine: Float[np.ndarray, "states states"],
    diversity: Float[np.ndarray, " blocks"],
    options: FewLayer,
) -> Score:
    """`few_layer` from the mean cosines between states and the diversity of every block."""
    shift = inter_layer_shift(cosine, options.alpha, options.predecessors)
    parts = min_max(shift), min_max(diversity)
    combined = parts[0] * parts[1] if options.combine == "product" else (parts[0] + parts[1]) / 2
    ends = {"first": 0, "last": len(combined) - 1}
    for end in options.exempt:
        combined[ends[end]] = 1.0
    return Score(
        values=[float(value) for value in combined],
        parameters=options.model_dump(),
        count=automatic_count(combined, options.tau),
    )


def inter_layer_shift(
    cosine: Float[np.ndarray, "states states"], alpha: float, predecessors: int
) -> Float[np.ndarray, " blocks"]:
    """R_l of every block from the mean cosines between states."""
    shift = []
    for block in range(1, len(cosine)):
        back = np.arange(1, min(predecessors, block) + 1)
        weights = alpha ** (back - 1.0)
        shift.append(float((weights * (1 - cosine[block, block - back])).sum() / weights.sum()))
    return np.asarray(shift)


def min_max(values: Float[np.ndarray, " blocks"]) -> Float[np.ndarray, " blocks"]:
    """Values scaled to 0 .. 1; all zero where they do not differ."""
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)


def automatic_count(values: Float[np.ndarray, " blocks"], tau: float) -> int:
    """The smallest number of top blocks that hold the share tau of all scores."""
    total = values.sum()
    if total <= 0:
        return 1
    shares = np.sort(values)[::-1].cumsum() / total
    return int(np.searchsorted(shares, tau - 1e-12) + 1)
