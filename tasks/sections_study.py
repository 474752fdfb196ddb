"""The sections `stability` and `studies` of params.yaml."""

from typing import Annotated

from pydantic import Field

from tasks.sections import Count, Length, Name, Section, Steps


class Study(Section):
    """A preset run for every seed, horizon and wanted share (`fewlayers study`)."""

    preset: Name
    models: list[Name] | None = Field(default=None, min_length=1)  # None: all of the preset's
    seeds: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(default=[0], min_length=1)
    horizons: list[Length] = Field(default=[96], min_length=1)
    # sizes to prune to, as shares of all blocks; each is searched, healed and judged by itself
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.25], min_length=1)


class Stability(Section):
    """Other windows, periods and horizons that the blocks are chosen on once more, unhealed."""

    draws: Annotated[int, Field(ge=0, le=100)] = 3  # of validation windows
    windows: Count = 128  # of each setting
    halves: bool = True  # of the training period
    horizons: list[Count] = Field(default=[24, 96, 336])  # those shorter than windows.horizon
    exhaustive_limit: Steps = 250  # more masks than these: greedy removal
