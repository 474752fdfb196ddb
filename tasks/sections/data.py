"""The sections `windows`, `generator`, `datasets` and `mixes`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.sections.base import Count, Length, Name, Section
from tasks.sections.storage import refuse_password


class Windows(Section):
    """One context and horizon for every dataset and model, in rows."""

    context: Length
    horizon: Length


class Generator(Section):
    """The synthetic demo dataset (stage `generate`)."""

    channels: Annotated[int, Field(ge=1, le=1000)] = 8
    rows: Annotated[int, Field(ge=100, le=10_000_000)] = 8000
    seed: Annotated[int, Field(ge=0)] = 0


class Split(Section):
    """Chronological split: row counts, or shares of all rows (train, validation, rest test)."""

    train: Annotated[float, Field(gt=0)] | Count = 0.7
    validation: Annotated[float, Field(gt=0)] | Count = 0.1
    test: Annotated[float, Field(gt=0)] | Count = 0.2

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        parts = (self.train, self.validation, self.test)
        if all(isinstance(part, int) for part in parts):
            return self
        if any(part > 1 for part in parts) or abs(sum(parts) - 1) > 1e-6:
            raise ValueError(
                f"split must be three row counts or three shares that sum to 1; got {parts}"
            )
        return self

    @property
    def is_rows(self) -> bool:
        """True when the three values are row counts."""
        return all(isinstance(part, int) for part in (self.train, self.validation, self.test))


class Dataset(Section):
    """One dataset: how to read the files in data/raw/NAME/ and how to split them.

    A `joined` one is several datasets as one, for training across them: data/raw/NAME/MEMBER/
    holds the files of each, and each is read, split and scaled by itself.
    """

    kind: Literal["wide", "long", "collection", "joined"] = "wide"
    members: dict[Name, "Dataset"] = Field(
        default_factory=dict
    )  # of a joined one: how to read each
    url: Annotated[str, AfterValidator(refuse_password)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    freq: str | None = None
    time_column: str | None = None
    time_format: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_zone: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    targets: list[str] | None = None
    season: Annotated[int, Field(ge=1, le=100_000)] | None = None
    split: Split = Split()
    irregular: Literal["regular_grid", "as_rows"] = "regular_grid"

    @model_validator(mode="after")
    def _members_are_said(self) -> Self:
        if self.kind != "joined":
            if self.members:
                raise ValueError("only a dataset of kind joined has members")
            return self
        if len(self.members) < 2:
            raise ValueError("a joined dataset needs two members or more")
        for name, member in self.members.items():
            if member.kind not in {"wide", "long"}:
                raise ValueError(f"member {name!r} must be wide or long; got {member.kind}")
        own = self.model_fields_set - {"kind", "members", "season"}
        if own:
            raise ValueError(f"a joined dataset has no {sorted(own)[0]!r}; its members have")
        return self


class Mix(Section):
    """Several datasets joined for cross-dataset training; only training ranges are joined."""

    members: list[Name] = Field(min_length=1)
    weights: Literal["windows", "capped"] = "windows"
    cap: Count = 5000  # of `capped`: a series counts min(length, cap)
    replay_windows: Count = 8192  # kept beside a pretrained model, for healing with `replay`
