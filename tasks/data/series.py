"""All series of a dataset in one array, so that every window is a view."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tasks.artifacts.files import read_json, write_atomically, write_text
from tasks.errors import ArtifactError


@dataclass(frozen=True)
class Series:
    """One channel of a dataset inside the shared array.

    `start` and `length` count values; `train_end` is the first value, counted from `start`, that
    is not a training target; `mean` and `std` turn scaled values back.
    """

    name: str
    start: int
    length: int
    train_end: int
    mean: float
    std: float


@dataclass(frozen=True)
class SeriesSet:
    """Scaled values of all series, one after the other; NaN = missing."""

    values: Float32[np.ndarray, " points"]
    series: tuple[Series, ...]

    def save(self, folder: Path) -> None:
        """Writes values.npy and series.json."""
        import json

        write_atomically(folder / "values.npy", self._write_values)
        rows = [vars(one) for one in self.series]
        write_text(folder / "series.json", json.dumps(rows, indent=1) + "\n")

    def _write_values(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.values, allow_pickle=False)


def load_series(folder: Path) -> SeriesSet:
    """Reads what `SeriesSet.save` wrote, the values memory-mapped.

    Raises:
        ArtifactError: a file is missing, torn or does not fit the other.
    """
    rows = read_json(folder / "series.json")
    path = folder / "values.npy"
    try:
        values = np.load(path, mmap_mode="c", allow_pickle=False)
        series = tuple(Series(**row) for row in rows)  # type: ignore[attr-defined]
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path}: not readable ({error}); run its stage again") from error
    end = max((one.start + one.length for one in series), default=0)
    if values.dtype != np.float32 or values.ndim != 1 or end != len(values):
        raise ArtifactError(f"{path}: does not fit series.json; run its stage again")
    return SeriesSet(values, series)


def concatenate(sets: Sequence[SeriesSet]) -> SeriesSet:
    """One SeriesSet with the series of all, in order; names are kept."""
    series: list[Series] = []
    offset = 0
    for data in sets:
        series += [replace(one, start=one.start + offset) for one in data.series]
        offset += len(data.values)
    return SeriesSet(np.concatenate([data.values for data in sets]), tuple(series))
