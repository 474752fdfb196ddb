"""What every section of params.yaml is made of."""

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=100_000_000)]
Steps = Annotated[int, Field(ge=0, le=100_000_000)]
Depth = Annotated[int, Field(ge=1, le=1024)]
Length = Annotated[int, Field(ge=1, le=65_536)]


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no silent type changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, data: Any) -> Any:
        keys = list(data) if isinstance(data, dict) else []
        for key in keys:
            if key not in cls.model_fields:
                near = get_close_matches(str(key), cls.model_fields, n=1)
                known = (
                    f"did you mean {near[0]!r}?" if near else f"keys: {', '.join(cls.model_fields)}"
                )
                raise ValueError(f"there is no key {key!r}; {known}")
        return data
