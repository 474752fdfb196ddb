"""Typed files that cross a stage boundary, written atomically.

A file gets a temporary name beside its own, is flushed and renamed: no reader meets half of one.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import ArtifactError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary path beside `path`, flushes it and renames it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda temporary: _write_plain(temporary, text))


def _write_plain(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: str, target: str) -> None:
    """Makes `target` the same file as `source`, or a copy where a hard link is not possible.

    No file that a stage wrote is changed in place, so one stands for both; weights are large.
    """
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a frame as CSV without its index, atomically."""
    write_text(path, frame.to_csv(index=False))


def read_json(path: Path) -> object:
    """The content of a JSON file. Raises ArtifactError when missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: missing; run `dvc repro` to make it") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error}); run its stage again") from error


class Artifact(BaseModel):
    """Base of every JSON artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")

    def write(self, path: Path) -> None:
        """Writes the artifact as indented JSON, atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and validates the artifact. Raises ArtifactError."""
        content = read_json(path)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ArtifactError(
                f"{path}: not a {cls.__name__}: {place}: {first['msg']}; run its stage again"
            ) from error
