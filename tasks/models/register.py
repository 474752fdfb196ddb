"""Writing a checkpoint's entries into params.yaml, with everything else left as it is."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from tasks.errors import ParamsError
from tasks.params import read_yaml
from tasks.sections.base import NAME_PATTERN
from tasks.sections.editing import append_entry, on_one_line, open_params, write_params
from tasks.sections.models import FolderStart, HubStart
from tasks.sections.run import NOT_LOCAL

TUNED, AS_IT_IS = "tuned", "as-is"  # ends of the names of what is made from a checkpoint
LONGEST = 64 - len(TUNED) - 1


def names_of(params_path: Path, name: str, *, as_it_is: bool) -> list[str]:
    """The names of the entries that a checkpoint gets: its own, NAME-tuned and NAME-as-is.

    Raises:
        ParamsError: an unsafe name, or one that params.yaml knows already.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > LONGEST:
        raise ParamsError(
            f"a model's name must be letters, digits, _ and -, at most {LONGEST}, starting with a "
            f"letter or digit; got {name[:80]!r}"
        )
    names = [name, f"{name}-{TUNED}", *([f"{name}-{AS_IT_IS}"] if as_it_is else [])]
    known = read_yaml(params_path).get("models") or {}
    for one in names:
        if one in known:
            raise ParamsError(
                f"{params_path}: there is a model {one!r} already; choose another name, or remove "
                "its entry first"
            )
    return names


def register_checkpoint(
    params_path: Path,
    name: str,
    family: str,
    start: FolderStart | HubStart,
    *,
    as_it_is: bool,
) -> list[str]:
    """Enters a checkpoint, which is imported once, and what is made from it; returns the names.

    Comments and order stay. The result is validated before it replaces the file.

    Args:
        params_path: params.yaml.
        name: of the checkpoint's own entry.
        family: of all entries.
        start: where the checkpoint is.
        as_it_is: also enters NAME-as-is, which is pruned without tuning the full model first.

    Raises:
        ParamsError: an unsafe or known name, or params.yaml would not be valid.
    """
    names = names_of(params_path, name, as_it_is=as_it_is)
    round_trip, content = open_params(params_path)
    first: dict[str, Any] = {"family": family, "start": start.model_dump(exclude_none=True)}
    _enter(content, name, first)
    made_from = {"kind": "pretrained", "model": name}
    for one in names[1:]:
        fields: dict[str, Any] = {"family": family, "start": made_from}
        if one.endswith(AS_IT_IS):
            fields["training"] = {"steps": 0}
        _enter(content, one, fields)
    folder = start.path if isinstance(start, FolderStart) else NOT_LOCAL
    _name_in_run(content, "imports", {name: folder})
    _name_in_run(content, "models", dict.fromkeys(names[1:], name))
    write_params(params_path, round_trip, content)
    return names


def _enter(content: CommentedMap, name: str, fields: Mapping[str, Any]) -> None:
    if not isinstance(content.get("models"), CommentedMap):
        content["models"] = CommentedMap()
    entry = CommentedMap({key: on_one_line(value) for key, value in fields.items()})
    append_entry(content["models"], name, entry)


def _name_in_run(content: CommentedMap, key: str, new: Mapping[str, str]) -> None:
    """Adds to a mapping of the section `run`."""
    run = content.setdefault("run", CommentedMap())
    if not isinstance(run.get(key), CommentedMap):
        run[key] = CommentedMap()
    if not run[key]:
        run[key].fa.set_flow_style()
    run[key].update(new)
