"""`scores/DATASET/MODEL.json`: what the stage `score` writes."""

from pydantic import Field

from tasks.artifacts.files import Artifact

Table = list[list[float | None]]  # None where a value is not defined


class Score(Artifact):
    """One score of every block; higher = keep.

    Attributes:
        values: one per block.
        parameters: the options it was computed with.
        count: the score's own automatic number of blocks to keep.
        masks: by number of kept blocks, the blocks the method itself keeps, where that need not
            be the blocks with the highest values.
    """

    values: list[float]
    parameters: dict[str, float | int | str | list[str]]
    count: int | None = None
    masks: dict[int, list[int]] = Field(default_factory=dict)


class ErrorParts(Artifact):
    """The removal loss broken down into parts of the calibration windows' points."""

    names: list[str]  # of the parts
    full: list[float | None]  # mean squared error of the full model in each part
    rise: Table  # by block: its removal loss in each part


class RemovalBreakdown(Artifact):
    """Where along the horizon, in which series and in which kind of window a block matters."""

    steps: ErrorParts  # named "1" .. "horizon"
    series: ErrorParts
    volatility: ErrorParts  # "calm" and "volatile": the contexts' differences, at their median


class CalibrationSetting(Artifact):
    """One draw of calibration windows."""

    draw: str
    windows: int  # that were there to draw, so perhaps fewer than asked for


class CalibrationSensitivity(Artifact):
    """How the scores move with the calibration windows."""

    settings: list[CalibrationSetting]  # the run's own first
    agreement: dict[str, Table]  # by score: Kendall's tau between every two settings


class OptionChange(Artifact):
    """What one option of `few_layer`, changed alone, does to the score."""

    option: str
    value: float | int | str | list[str]
    is_own: bool  # the run's own value
    agreement: float | None  # Kendall's tau of the blocks' order to that of the run's options
    count: int  # the automatic number of blocks
    keep: list[int]  # the blocks this number keeps


class Scores(Artifact):
    """All scores over all blocks, the similarity matrices, and what the scores depend on."""

    dataset: str
    model: str
    num_blocks: int
    calibration_windows: int
    calibration_sha256: str  # of the window indices
    calibration_source: str
    calibration_draw: str = "spaced"
    scores: dict[str, Score]
    # states h_0 .. h_L of every stack, one after the other; None between states of two stacks
    cosine: Table
    cka: Table
    diversity: list[float] | None = None  # of every block
    removal: RemovalBreakdown | None = None  # where the removal loss was measured
    sensitivity: CalibrationSensitivity | None = None
    sublayers: dict[str, list[float]] = Field(default_factory=dict)  # removal loss by kind
    few_layer_changes: list[OptionChange] = Field(default_factory=list)
