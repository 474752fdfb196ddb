"""What runs, where and how: the sections `runtime`, `run` and `studies`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.sections.base import Count, Length, Name, Section
from tasks.sections.storage import Storage

NOT_LOCAL = "data/pretrained/none"  # stands in run.imports for a checkpoint on the hub


class Runtime(Section):
    """Where and how stages run; changing it reruns nothing."""

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    parallel_stages: Annotated[int, Field(ge=1, le=256)] = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    search_workers: Annotated[int, Field(ge=1, le=256)] = 1  # processes of one search
    search_storage: Storage = "journal"  # journal | env | a database's URL
    state_megabytes: Count = 256  # of states kept while many masks are measured together

    @property
    def state_bytes(self) -> int:
        """`state_megabytes` in bytes."""
        return self.state_megabytes * 2**20


class Run(Section):
    """What the graph covers: the matrix is datasets x models."""

    datasets: list[Name] = Field(min_length=1)
    models: dict[Name, Name] = Field(min_length=1)  # model: its pretrained start, or `none`
    corpora: list[Name] = Field(default=[])  # collections, prepared only to be members of a mix
    mixes: list[Name] = Field(default=[])
    pretrain: dict[Name, Name] = Field(default_factory=dict)  # model -> the mix it is pretrained on
    # model -> its checkpoint's folder, or NOT_LOCAL where it comes from the hub
    imports: dict[Name, str] = Field(default_factory=dict)


class Study(Section):
    """A preset run for several seeds, horizons and wanted shares (`fewlayers study`)."""

    preset: Name
    changes: dict[str, Any] = Field(default_factory=dict)  # laid over the preset
    models: list[Name] | None = Field(default=None, min_length=1)  # None: all of the preset's
    seeds: list[Annotated[int, Field(ge=0, le=2**31)]] = Field(default=[0], min_length=1)
    horizons: list[Length] = Field(default=[96], min_length=1)
    # sizes to prune to, as shares of all blocks; each is searched, healed and judged by itself
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.25], min_length=1)

    @model_validator(mode="after")
    def _cells_differ(self) -> Self:
        percents = [round(100 * share) for share in self.shares]
        for name, values in (
            ("seeds", self.seeds), ("horizons", self.horizons), ("shares (in whole %)", percents),
        ):  # fmt: skip
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must differ, as cells are named by them; got {values}")
        return self
