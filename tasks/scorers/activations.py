"""One instrumented pass over the calibration windows, for every activation-based score.

Shapes: S states h_0 .. h_L, B batch, N tokens, W width, H heads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tasks.models.base import ForecastModel
from tasks.models.interface import Trace

PIECE_BYTES = 16 * 2**20  # of normalised states at once


@dataclass(frozen=True)
class Activations:
    """Statistics of the residual states h_0 .. h_L, window by window.

    Attributes:
        cosines: cosine between every two states, mean over tokens.
        angles: angular distance arccos(cosine) / pi, mean over tokens; 0 .. 1.
        last_angles: the same of the last token alone.
        diversities: for every block, 1 - mean cosine between the attention rows of two queries
            on the causal support they share; between the tokens of h_l where attention is hidden.
        means: token-mean states.
    """

    cosines: Float[np.ndarray, "windows states states"]
    angles: Float[np.ndarray, "windows states states"]
    last_angles: Float[np.ndarray, "windows states states"]
    diversities: Float[np.ndarray, "windows blocks"]
    means: Float[np.ndarray, "windows states width"]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The windows of all parts, in order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def subset(self, rows: Tensor) -> Self:
        """Some of the windows, by number or as a mask."""
        return type(self)(*(getattr(self, field.name)[rows.numpy()] for field in fields(self)))

    @cached_property
    def cosine(self) -> Float[np.ndarray, "states states"]:
        """Mean cosine between every two states over tokens and windows."""
        mean: np.ndarray = self.cosines.mean(0)
        return mean

    @cached_property
    def diversity(self) -> Float[np.ndarray, " blocks"]:
        """Mean diversity of every block."""
        mean: np.ndarray = self.diversities.mean(0)
        return mean

    @cached_property
    def cka(self) -> Float[np.ndarray, "states states"]:
        """Linear CKA (Kornblith et al. 2019) between the windows' token-mean states."""
        return linear_cka(torch.from_numpy(self.means).transpose(0, 1).double()).numpy()


@dataclass(frozen=True)
class StackedActivations:
    """The statistics of every stack of blocks: of one, or of an encoder and its decoder.

    Its matrices have a square per stack on the diagonal and NaN between states of two stacks.
    """

    stacks: tuple[Activations, ...]

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The windows of all parts, in order."""
        by_stack = zip(*(part.stacks for part in parts), strict=True)
        return cls(tuple(Activations.join(same) for same in by_stack))

    def subset(self, rows: Tensor) -> Self:
        """Some of the windows, by number or as a mask."""
        return type(self)(tuple(one.subset(rows) for one in self.stacks))

    @property
    def cosine(self) -> Float[np.ndarray, "states states"]:
        """`Activations.cosine` of all stacks."""
        return block_diagonal([one.cosine for one in self.stacks])

    @property
    def cka(self) -> Float[np.ndarray, "states states"]:
        """`Activations.cka` of all stacks."""
        return block_diagonal([one.cka for one in self.stacks])

    @property
    def diversity(self) -> Float[np.ndarray, " blocks"]:
        """`Activations.diversity` of all stacks."""
        return np.concatenate([one.diversity for one in self.stacks])


def block_diagonal(squares: Sequence[np.ndarray]) -> np.ndarray:
    """One matrix of squares along its diagonal, NaN beside them."""
    size = sum(len(square) for square in squares)
    matrix = np.full((size, size), np.nan)
    first = 0
    for square in squares:
        matrix[first : first + len(square), first : first + len(square)] = square
        first += len(square)
    return matrix


@torch.no_grad()
def collect(
    model: ForecastModel, contexts: Float[Tensor, "windows context"], batch_size: int
) -> StackedActivations:
    """Runs the model once over the contexts and returns the statistics."""
    device = next(model.parameters()).device
    model.eval()
    batches = contexts.split(batch_size)
    parts = [
        StackedActivations(tuple(statistics(one) for one in model.trace(batch.to(device))))
        for batch in batches
    ]
    return StackedActivations.join(parts)


def statistics(trace: Trace) -> Activations:
    """The statistics of one batch."""
    return summarise(list(trace.hidden), query_diversity(trace).T)


def summarise(
    states: Sequence[Float[Tensor, "batch tokens width"]],
    diversities: Float[Tensor, "batch blocks"],
) -> Activations:
    """The statistics of one batch from its states h_0 .. h_L, a few windows at a time.

    Their normalised double-precision copies are what takes memory.
    """
    window_bytes = 8 * len(states) * states[0][0].numel()
    size = max(1, PIECE_BYTES // max(1, window_bytes))
    pieces = [
        _of_windows(torch.stack([state[first : first + size] for state in states]).float(), part)
        for first, part in zip(
            range(0, len(diversities), size), diversities.split(size), strict=True
        )
    ]
    return Activations.join(pieces)


def _of_windows(hidden: Tensor, diversities: Tensor) -> Activations:
    states = torch.nn.functional.normalize(hidden.double(), dim=-1)  # [S, B, N, W]
    rows = states.permute(1, 2, 0, 3)  # [B, N, S, W]
    cosines = rows @ rows.transpose(-1, -2)  # [B, N, S, S]
    angles = cosines.clamp(-1, 1).arccos() / math.pi
    parts = (
        cosines.mean(1),
        angles.mean(1),
        angles[:, -1],
        diversities,
        hidden.mean(2).transpose(0, 1),
    )
    return Activations(*(part.cpu().numpy() for part in parts))


def query_diversity(trace: Trace) -> Float[Tensor, "blocks batch"]:
    """V_l = 1 - mean over query pairs p != q of the cosine of their attention rows."""
    if trace.attention is None:
        tokens = torch.nn.functional.normalize(trace.hidden[1:].double(), dim=-1)
        similarity = (tokens @ tokens.transpose(-1, -2))[:, :, None]  # [L, B, 1, N, N]
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
    total = similarity.sum((-1, -2)) - torch.diagonal(similarity, dim1=-2, dim2=-1).sum(-1)
    if count == 1:
        return torch.zeros_like(total[..., 0])
    return 1 - (total / (count * (count - 1))).mean(2)  # over heads


def linear_cka(states: Float[Tensor, "states windows width"]) -> Float[Tensor, "states states"]:
    """Linear CKA between layers: |X'Y|^2 / (|X'X| |Y'Y|) of the centred states, 0 .. 1.

    By Gram matrices of windows or by products of features, whichever are smaller.
    """
    centred = states - states.mean(1, keepdim=True)
    num_windows, width = centred.shape[1:]
    if num_windows <= width:
        grams = (centred @ centred.transpose(1, 2)).flatten(1)  # [S, windows * windows]
        products = grams @ grams.T
    else:
        rows = [(one.T @ centred).square().sum((1, 2)) for one in centred]  # each [S]
        products = torch.stack(rows)
    norms = torch.diagonal(products).sqrt()
    return products / (norms[:, None] * norms).clamp(min=1e-300)
