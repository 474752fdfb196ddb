"""Scores the blocks of a model folder or a checkpoint on a data file, outside of any pipeline.

The file is split as a dataset's would be and the calibration windows are drawn as the stage `score`
draws them, so that a model folder of the pipeline gets the scores it got there. Only the scores of
activations are computed: they need no more than one block at a time, and a native model is never
held. Which blocks heal best only the pipeline can tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.files import write_csv
from tasks.artifacts.scoring import Score
from tasks.data.prepared import prepare_dataset
from tasks.masks.mask import Mask, own_mask
from tasks.models.base import ForecastModel
from tasks.models.block_by_block import can_be_read_block_by_block, open_block_by_block
from tasks.models.build import build_model
from tasks.models.checkpoint import folder_config
from tasks.models.detect import family_in, family_named
from tasks.models.locate import is_model_folder
from tasks.models.registry import load_model
from tasks.params import Params
from tasks.runtime import Progress, seed_for
from tasks.scorers.activations import StackedActivations, collect
from tasks.scorers.calibration import calibration_source, draw_windows
from tasks.scorers.streaming import collect_streamed
from tasks.scorers.table import SCORERS, score_all
from tasks.sections.data import Dataset, Windows
from tasks.sections.models import FolderStart
from tasks.sections.scoring import ScoreName
from tasks.sections.zoo import ZooEntry

NAMES: tuple[ScoreName, ...] = tuple(
    name for name, scorer in SCORERS.items() if scorer.needs == "activations"
)


@dataclass(frozen=True)
class FolderScores:
    """The scores of every block.

    Attributes:
        stacks: number of blocks by stack, in the order in which blocks are numbered.
        scores: by name.
        windows: how many calibration windows there were.
        is_streamed: whether one block at a time was in memory.
    """

    stacks: Mapping[str, int]
    scores: Mapping[str, Score]
    windows: int
    is_streamed: bool

    @property
    def num_blocks(self) -> int:
        """Blocks over all stacks."""
        return sum(self.stacks.values())

    def keeps(self, share: float) -> dict[str, Mask]:
        """By score the blocks that it keeps: of every stack at most this share, or one.

        What a score says of an encoder's block and of a decoder's cannot be compared, and a stack
        without blocks forecasts badly.
        """
        size = sum(max(1, int(share * depth + 1e-9)) for depth in self.stacks.values())
        return {name: own_mask(score, size) for name, score in self.scores.items()}

    def frame(self) -> pd.DataFrame:
        """One row per block: block, stack and the scores."""
        names = chain.from_iterable([path] * size for path, size in self.stacks.items())
        values = {name: one.values for name, one in self.scores.items()}
        return pd.DataFrame({"block": range(self.num_blocks), "stack": list(names), **values})

    def write(self, path: Path) -> None:
        """Writes `frame` as CSV."""
        write_csv(path, self.frame())


def score_folder(
    folder: Path, data: Path, dataset: Dataset, params: Params, *, family: str | None = None
) -> FolderScores:
    """Scores a model that lies in a folder.

    Args:
        folder: a model folder, or a checkpoint of a published family.
        data: a file, or a folder of a collection's files.
        dataset: how to read it.
        params: seed and section `scoring`; `windows` of a checkpoint.
        family: of a checkpoint whose config.json does not tell it.

    Raises:
        CheckpointError: the folder is not whole, or its family cannot be told.
        DataError: the data cannot be accepted, or are too short for the windows.
        ParamsError: there is no such family, or it needs a package that is not installed.
    """
    if is_model_folder(folder):
        return _score_model(folder, data, dataset, params)
    known = family_in(folder) if family is None else family_named(family)
    entry = ZooEntry(family=known, start=FolderStart(kind="folder", path=str(folder)))
    contexts = _contexts(folder, data, dataset, params, params.windows)
    model, _ = build_model(entry, None, params.windows, seed=params.seed, pretrained=Path())
    found = collect(model, contexts, params.scoring.batch_size)
    return _scored(found, _sizes(model), params, len(contexts))


def _score_model(folder: Path, data: Path, dataset: Dataset, params: Params) -> FolderScores:
    config = folder_config(folder)
    windows = Windows(context=config["context"], horizon=config["horizon"])
    contexts = _contexts(folder, data, dataset, params, windows)
    size = params.scoring.batch_size
    if not can_be_read_block_by_block(config):
        model = load_model(folder)
        found = collect(model, contexts, size)
        return _scored(found, _sizes(model), params, len(contexts))
    opened = open_block_by_block(folder)
    with Progress(f"score {folder}", len(opened.stored)) as progress:
        found = collect_streamed(opened, contexts, size, after=progress.update)
    sizes = {opened.model.stack.path: len(opened.stored)}
    return _scored(found, sizes, params, len(contexts), is_streamed=True)


def _contexts(
    folder: Path, data: Path, dataset: Dataset, params: Params, windows: Windows
) -> Float[Tensor, "windows context"]:
    """The contexts of the windows that the stage `score` would draw from a dataset of the file."""
    name = data.name.partition(".")[0]
    history = prepare_dataset(data, name, dataset, windows).history
    options = params.scoring
    source = calibration_source(history, windows, options.source)
    seed = seed_for(params.seed, "score", f"{name}/{folder.name}")
    drawn = draw_windows(source, options.calibration_windows, options.draw, seed=seed)
    return source.batch(drawn.index)[:, : windows.context]


def _sizes(model: ForecastModel) -> dict[str, int]:
    return {path: len(blocks) for path, blocks in model.blocks().items()}


def _scored(
    found: StackedActivations,
    stacks: Mapping[str, int],
    params: Params,
    windows: int,
    *,
    is_streamed: bool = False,
) -> FolderScores:
    scores = score_all(NAMES, {"activations": found}, params.scoring)
    return FolderScores(stacks, scores, windows, is_streamed)
