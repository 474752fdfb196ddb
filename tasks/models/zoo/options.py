"""Options of a model entry, checked against what a family takes."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.errors import ParamsError

Options = TypeVar("Options", bound=BaseModel)


def checked_options(kind: type[Options], options: Mapping[str, Any], family: str) -> Options:
    """The options as the class that describes them.

    Raises:
        ParamsError: names the first option that is unknown, missing or wrong, and its value.
    """
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in ("options", *first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise ParamsError(f"{family}: there is no {place}; options: {known}") from error
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise ParamsError(f"{family}: {place} is missing; add it") from error
        raise ParamsError(f"{family}: {place}: {reason}; got {first['input']!r}") from error
