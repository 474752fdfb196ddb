"""What `prepare` writes about a dataset."""

from typing import Literal

from tasks.artifacts.files import Artifact


class ChannelProfile(Artifact):
    """One channel (series) of a dataset."""

    name: str
    rows: int
    missing: int
    is_constant: bool
    mean: float | None
    std: float | None
    adf_p_value: float | None  # augmented Dickey-Fuller on the training range; small = stationary


class Profile(Artifact):
    """What `prepare` found in a dataset."""

    dataset: str
    kind: Literal["wide", "long", "collection", "joined"]
    files: list[str]
    rows: int
    channels: list[ChannelProfile]  # of a collection: empty
    num_series: int
    num_points: int
    freq: str | None
    first: str | None
    last: str | None
    missing_share: float
    gaps: int  # missing time stamps put in as missing rows
    duplicates_dropped: int
    fixed: list[str]  # what was repaired, one line each
    warnings: list[str]
    dropped_series: list[str]
    season: int  # rows per season, used by seasonal naive and MASE
    train_rows: int  # of the longest series
    valid_rows: int
    test_rows: int
    synthetic: bool = False
