"""Changing params.yaml with its comments and order kept."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from tasks.artifacts.files import write_atomically
from tasks.params import read_yaml, validate_params

WIDTH = 10_000  # no line is broken


def open_params(params_path: Path) -> tuple[YAML, CommentedMap]:
    """params.yaml with its comments, and the dumper that keeps them."""
    round_trip = YAML()
    round_trip.preserve_quotes = True
    round_trip.width = WIDTH
    content = round_trip.load(params_path.read_text(encoding="utf-8"))
    assert isinstance(content, CommentedMap)
    return round_trip, content


def write_params(params_path: Path, round_trip: YAML, content: CommentedMap) -> None:
    """Replaces params.yaml, once the new text is found valid. Raises ParamsError."""
    text = io.StringIO()
    round_trip.dump(content, text)

    def write(temporary: Path) -> None:
        temporary.write_text(text.getvalue(), encoding="utf-8")
        validate_params(read_yaml(temporary), str(params_path))

    write_atomically(params_path, write)


def on_one_line(value: Any) -> Any:
    """Lists and mappings in flow style, other values as they are."""
    if isinstance(value, Mapping):
        row: CommentedMap | CommentedSeq = CommentedMap(value)
    elif isinstance(value, list | tuple):
        row = CommentedSeq(value)
    else:
        return value
    row.fa.set_flow_style()
    return row


def append_entry(section: CommentedMap, name: str, entry: CommentedMap) -> None:
    """Appends an entry; blank lines and comments below the old last entry come after the new."""
    tail = _cut_tail(section)
    section[name] = entry
    if not entry:
        entry.fa.set_flow_style()
    if tail:
        owner, key = (entry, list(entry)[-1]) if entry else (section, name)
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
