"""What `fewlayers study` keeps of every cell, so that cells of one study may be run apart."""

from typing import Any

from pydantic import Field

from tasks.artifacts.files import Artifact


class Choice(Artifact):
    """The blocks that one cell chose for one dataset and model."""

    dataset: str
    model: str
    horizon: int
    seed: int
    share: float
    num_blocks: int
    keep: list[int]
    scores: dict[str, list[float]]  # of every block, by name


class PieceResult(Artifact):
    """`data/studies/NAME/cells/CELL-DATASET.json`: the rows of a cell on one dataset.

    `settings` tells of every model by which commands, parameters, code and raw data; `missing`
    names the models that were never judged, because a stage before that failed.
    """

    settings: dict[str, str]
    missing: list[str] = Field(default_factory=list)
    rows: list[dict[str, Any]]  # of tasks.csv
    choices: list[Choice]
