"""Writing a dataset's entry into params.yaml, with everything else left as it is."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tasks.errors import ParamsError
from tasks.params import read_yaml
from tasks.sections.base import NAME_PATTERN
from tasks.sections.editing import append_entry, on_one_line, open_params, write_params


def register(params_path: Path, name: str, dataset_fields: Mapping[str, Any]) -> None:
    """Adds `datasets.NAME` and names it in run.datasets (run.corpora for a collection).

    Comments and order stay. The result is validated before it replaces the file.

    Args:
        params_path: params.yaml.
        name: of the new dataset.
        dataset_fields: settings of the Dataset section; None leaves one out.

    Raises:
        ParamsError: an unsafe or known name, or settings that params.yaml does not accept.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ParamsError(
            "a dataset's name must be letters, digits, _ and -, at most 64, starting with a "
            f"letter or digit; got {name[:80]!r}"
        )
    known = read_yaml(params_path).get("datasets", {})
    if name in known:
        raise ParamsError(
            f"{params_path}: there is a dataset {name!r} already; choose another name, or remove "
            "its entry first"
        )
    round_trip, content = open_params(params_path)
    fields = {key: on_one_line(value) for key, value in dataset_fields.items() if value is not None}
    if not isinstance(content.get("datasets"), CommentedMap):
        content["datasets"] = CommentedMap()
    append_entry(content["datasets"], name, CommentedMap(fields))
    _name_in_run(content, name, str(fields.get("kind")))
    write_params(params_path, round_trip, content)


def put_in_run(params_path: Path, name: str, kind: str) -> None:
    """Names a known dataset in run.datasets, or in run.corpora for a collection.

    Raises:
        ParamsError: params.yaml would not be valid with it.
    """
    round_trip, content = open_params(params_path)
    if _name_in_run(content, name, kind):
        write_params(params_path, round_trip, content)


def _name_in_run(content: CommentedMap, name: str, kind: str) -> bool:
    """Appends a dataset's name to its list in `run`; False when it is there already."""
    section = "corpora" if kind == "collection" else "datasets"
    run = content.setdefault("run", CommentedMap())
    if not isinstance(run.get(section), CommentedSeq):
        run[section] = CommentedSeq()
    if name in run[section]:
        return False
    if not run[section]:
        run[section].fa.set_flow_style()
    run[section].append(name)
    return True
