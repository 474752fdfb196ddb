"""Writing a dataset's entry into params.yaml, with everything else left as it is."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from tasks.artifacts.files import write_atomically
from tasks.errors import ParamsError
from tasks.params import read_yaml, validate_params
from tasks.sections.base import NAME_PATTERN

WIDTH = 10_000  # no line is broken


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
    round_trip, content = _open(params_path)
    fields = {
        key: _on_one_line(value) for key, value in dataset_fields.items() if value is not None
    }
    if not isinstance(content.get("datasets"), CommentedMap):
        content["datasets"] = CommentedMap()
    _append_entry(content["datasets"], name, CommentedMap(fields))
    _name_in_run(content, name, str(fields.get("kind")))
    _write(params_path, round_trip, content)


def put_in_run(params_path: Path, name: str, kind: str) -> None:
    """Names a known dataset in run.datasets, or in run.corpora for a collection.

    Raises:
        ParamsError: params.yaml would not be valid with it.
    """
    round_trip, content = _open(params_path)
    if _name_in_run(content, name, kind):
        _write(params_path, round_trip, content)


def _open(params_path: Path) -> tuple[YAML, CommentedMap]:
    """params.yaml with its comments, and the dumper that keeps them."""
    round_trip = YAML()
    round_trip.preserve_quotes = True
    round_trip.width = WIDTH
    content = round_trip.load(params_path.read_text(encoding="utf-8"))
    assert isinstance(content, CommentedMap)
    return round_trip, content


def _write(params_path: Path, round_trip: YAML, content: CommentedMap) -> None:
    """Replaces params.yaml, once the new text is found valid."""
    text = io.StringIO()
    round_trip.dump(content, text)

    def write(temporary: Path) -> None:
        temporary.write_text(text.getvalue(), encoding="utf-8")
        validate_params(read_yaml(temporary), str(params_path))

    write_atomically(params_path, write)


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


def _on_one_line(value: Any) -> Any:
    """Lists and mappings in flow style, other values as they are."""
    if isinstance(value, Mapping):
        row: CommentedMap | CommentedSeq = CommentedMap(value)
    elif isinstance(value, list | tuple):
        row = CommentedSeq(value)
    else:
        return value
    row.fa.set_flow_style()
    return row


def _append_entry(datasets: CommentedMap, name: str, entry: CommentedMap) -> None:
    """Appends an entry; blank lines and comments below the old last entry come after the new."""
    tail = _cut_tail(datasets)
    datasets[name] = entry
    if not entry:
        entry.fa.set_flow_style()
    if tail:
        owner, key = (entry, list(entry)[-1]) if entry else (datasets, name)
        token = CommentToken("\n" + tail, CommentMark(0), None)
        owner.ca.items[key] = [None, None, token, None]


def _cut_tail(node: CommentedMap) -> str:
    """Takes the lines that follow the last entry away from it and returns them."""
    while node:
        key = list(node)[-1]
        value = node[key]
        tokens = node.ca.items.get(key)
        if isinstance(value, CommentedMap) and value and not value.fa.flow_style():
            node = value
            continue
        if not tokens or tokens[2] is None:
            return ""
        head, _, tail = tokens[2].value.partition("\n")
        tokens[2].value = head + "\n"
        return str(tail)
    return ""
