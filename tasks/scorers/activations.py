"""One instrumented pass over the calibration windows, for every activation-based score.

Shapes: L blocks, B batch, N tokens, W width, H heads.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tasks.models.native import NativeModel, Trace


@dataclass(frozen=True)
class Activations:
    """Statistics of the residual states h_0 .. h_L over all tokens and calibration windows.

    Attributes:
        cosine: mean cosine between every two states.
        cka: linear CKA (Kornblith et al. 2019) between the windows' token-mean states.
        diversity: for every block, 1 - mean cosine between the attention rows of two queries on
            the causal support they share; between the tokens of h_l where attention is hidden.
    """

    cosine: Float[np.ndarray, "states states"]
    cka: Float[np.ndarray, "states states"]
    diversity: Float[np.ndarray, " blocks"]


@torch.no_grad()
def collect(
    model: NativeModel, contexts: Float[Tensor, "windows context"], batch_size: int
) -> Activations:
    """Runs the model once over the contexts and returns the statistics."""
    device = next(model.parameters()).device
    cosine = diversity = None
    means: list[Tensor] = []
    for batch in contexts.split(batch_size):
        trace = model.trace(batch.to(device))
        share = len(batch) / len(contexts)
        states = torch.nn.functional.normalize(trace.hidden.flatten(1, 2).double(), dim=-1)
        part = torch.einsum("atw,btw->ab", states, states) / states.shape[1] * share
        cosine = part if cosine is None else cosine + part
        spread = query_diversity(trace) * share
        diversity = spread if diversity is None else diversity + spread
        means.append(trace.hidden.mean(2).double())  # [L + 1, B, W]
    assert cosine is not None
    assert diversity is not None
    return Activations(
        cosine.cpu().numpy(), linear_cka(torch.cat(means, 1)).cpu().numpy(), diversity.cpu().numpy()
    )


def query_diversity(trace: Trace) -> Float[Tensor, " blocks"]:
    """V_l = 1 - mean over query pairs p != q of the cosine of their attention rows."""
    if trace.attention is None:
        tokens = torch.nn.functional.normalize(trace.hidden[1:].double(), dim=-1)
        similarity = tokens @ tokens.transpose(-1, -2)  # [L, B, N, N]
    else:
        rows = trace.attention.double()  # [L, B, H, N, N]
        products = rows @ rows.transpose(-1, -2)  # zero beyond the shared support
        squares = rows.square().cumsum(-1)  # [..., q, p]: row q up to column p
        own = torch.diagonal(squares, dim1=-2, dim2=-1)  # [..., p]: row p over its whole support
        shared = torch.tril(squares) + torch.tril(squares, -1).transpose(-1, -2)
        first = torch.tril(own[..., None, :].expand_as(shared))
        pair = first + torch.tril(first, -1).transpose(-1, -2)  # own[min(p, q)]
        similarity = products / (shared * pair).sqrt().clamp(min=1e-12)
    count = similarity.shape[-1]
    if count == 1:
        return torch.zeros(similarity.shape[0], dtype=torch.float64, device=similarity.device)
    total = similarity.sum((-1, -2)) - torch.diagonal(similarity, dim1=-2, dim2=-1).sum(-1)
    mean = (total / (count * (count - 1))).flatten(1).mean(1)  # over windows and heads
    return 1 - mean


def linear_cka(states: Float[Tensor, "states windows width"]) -> Float[Tensor, "states states"]:
    """Linear CKA between layers: centred Gram matrices, their normalised inner product."""
    centred = states - states.mean(1, keepdim=True)
    gram = centred @ centred.transpose(1, 2)  # [L + 1, windows, windows]
    flat = torch.nn.functional.normalize(gram.flatten(1), dim=1)
    return flat @ flat.T
