"""First-order Taylor importance (Kim et al. 2024, Shortened LLaMA, arXiv 2402.02834)."""

from tasks.artifacts.scoring import Score
from tasks.scorers.gradients import Gradients


def taylor(gradients: Gradients) -> Score:
    """Sum |dL/dW * W| over the weights of a block, mean over batches. Higher = keep.

    To first order, how much the squared error moves when single weights are set to zero; it
    scales with the square of the data.
    """
    return Score(values=[sum(block.values()) for block in gradients.saliency], parameters={})
