"""Windows of a pretraining mix that stay with the pretrained model, to be mixed into healing.

Few rows are too few to heal on: a small model learns them by heart. Batches that also hold what the
large one was pretrained on (experience replay: Rolnick et al. 2019, arXiv 1811.11682) keep what it
knew; a distilled student learns the teacher's forecasts there, too.
"""

from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float, Float64, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.artifacts.files import write_atomically
from tasks.data.windows import WindowSet, spaced_numbers
from tasks.errors import ArtifactError
from tasks.models.normalise import normalise

FILE = "replay.safetensors"
KEY = "windows"
CLIP = 10.0  # deviations of the context; values beyond are cut


class Windows(Protocol):
    """What a training loop draws its batches from."""

    @property
    def weights(self) -> Float64[Tensor, " series"] | None:
        """The chance of every series, where they differ from those of its windows."""

    def __len__(self) -> int: ...

    def draw(self, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
        """Random windows with replacement."""

    def batch(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch length"]:
        """The values of these windows; NaN = missing."""

    def spaced(self, count: int) -> Int64[Tensor, " count"]:
        """At most `count` windows, the same at every call."""


class Replayed:
    """A dataset's windows, with kept windows in a share of every batch that is drawn; final.

    Kept windows have the numbers after the dataset's own.
    """

    def __init__(self, own: WindowSet, kept: Float[Tensor, "kept length"], *, share: float) -> None:
        """`share` of a batch, rounded, is drawn from `kept`, which has the length of `own`'s."""
        self.own, self.kept, self.share = own, kept, share

    def __len__(self) -> int:
        return len(self.own) + len(self.kept)

    @property
    def weights(self) -> Float64[Tensor, " series"] | None:
        """The chance of every own series, where they differ from those of its windows."""
        return self.own.weights

    def draw(self, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
        """Random windows with replacement, the dataset's own first."""
        again = round(count * self.share)
        own = self.own.draw(count - again, generator)
        kept = torch.randint(len(self.kept), (again,), generator=generator)
        return torch.cat([own, len(self.own) + kept])

    def batch(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch length"]:
        """The values of these windows; NaN = missing."""
        is_kept = index >= len(self.own)
        own = self.own.batch(torch.where(is_kept, 0, index))
        kept = self.kept[torch.where(is_kept, index - len(self.own), 0)]
        return torch.where(is_kept[:, None], kept, own)

    def spaced(self, count: int) -> Int64[Tensor, " count"]:
        """At most `count` windows, evenly spaced over all of them, the same at every call."""
        return spaced_numbers(len(self), count)


def sample_windows(
    windows: WindowSet, count: int, generator: torch.Generator
) -> Float[Tensor, "count length"]:
    """Random windows, as pretraining draws them, each normalised by its own context.

    Every dataset is scaled to deviation 1, so that kept and own windows weigh alike in a loss on
    that scale; a forecast moves with the scale of its context.
    """
    drawn = windows.batch(windows.draw(count, generator))
    _, _, mean, scale = normalise(drawn[:, : windows.context])
    return ((drawn - mean) / scale).clamp(-CLIP, CLIP)


def save_replay(folder: Path, windows: Float[Tensor, "kept length"]) -> None:
    """Writes the windows beside a model."""
    write_atomically(folder / FILE, partial(save_file, {KEY: windows.contiguous()}))


def load_replay(folder: Path) -> Float[Tensor, "kept length"]:
    """The windows kept beside a model; none where it was not pretrained on a mix.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    path = folder / FILE
    try:
        return load_file(path)[KEY]
    except (SafetensorError, OSError, KeyError) as error:
        raise ArtifactError(
            f"{path}: not a whole safetensors file with {KEY} ({error}); run its stage again"
        ) from error
