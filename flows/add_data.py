"""Brings one dataset in: validated, put under DVC, entered in params.yaml, or nothing at all."""

import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows import dvc
from flows.environment import state_folder
from flows.errors import FlowError
from flows.imports import note_of
from tasks.artifacts.data import Profile
from tasks.data.fetch import fetch, has_raw, raw_folder
from tasks.data.prepared import audit
from tasks.data.register import put_in_run, register
from tasks.errors import DataError, ParamsError
from tasks.params import Params, load_params
from tasks.sections.base import Name
from tasks.sections.data import Dataset
from tasks.sections.storage import refuse_password


def dataset_entry(options: dict[str, Any]) -> Dataset:
    """The entry that command-line options describe; unset ones are left to their defaults.

    Raises:
        ParamsError: an option's value breaks a rule.
    """
    given = {key: value for key, value in options.items() if value not in (None, [])}
    try:
        return Dataset.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise ParamsError(f"--{name}: {first['msg']}; got {first.get('input')!r}") from error


def add_data(
    root: Path, name: str, source: str | None, options: dict[str, Any]
) -> tuple[Profile, str]:
    """Adds a dataset; returns what the audit found, and the path of DVC's note.

    Args:
        root: the project.
        name: the dataset's name; a new one, or with no source one that params.yaml knows.
        source: a file, a folder of parquet files, or a URL; None for a known entry with a URL.
        options: fields of the dataset's entry.

    Raises:
        DataError: the file cannot be accepted as it is.
        ParamsError: the name or an option breaks a rule.
        FlowError: the dataset is there already, or cannot be fetched or tracked.
    """
    params = load_params(root / "params.yaml")
    dvc.prepare(root)
    entry = _entry(root, params, name, source, options)
    with _all_or_nothing(root, name):
        folder = raw_folder(root, name)
        if source is None:
            fetch(root, name, params.datasets)
        elif _is_url(source):
            _import(root, source, folder)
        else:
            _copy(Path(source), folder)
        profile = _audited(folder, name, entry, params, source)
        if source is None or not _is_url(source):
            dvc.track(root, folder)
        if name in params.datasets:
            put_in_run(root / "params.yaml", name, entry.kind)
        else:
            fields = entry.model_dump(exclude_defaults=True, exclude_none=True)
            register(root / "params.yaml", name, {"kind": entry.kind, **fields})
    note = note_of(root, name)
    assert note is not None
    return profile, note.relative_to(root).as_posix()


def _entry(
    root: Path, params: Params, name: str, source: str | None, options: dict[str, Any]
) -> Dataset:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ParamsError(
            "a dataset's name must be 1 to 64 letters, digits, dashes or underscores, "
            f"the first a letter or digit; got {name!r}"
        ) from error
    try:
        refuse_password(source or "")
    except ValueError as error:
        raise ParamsError(f"add-data: {error}") from error
    if source and "://" in source and not _is_url(source):
        scheme = source.partition("://")[0]
        raise FlowError(f"{source}: only URLs with http or https are read; got {scheme}://")
    maker = dvc.output_paths(root).get(f"data/raw/{name}", "")
    if maker and not maker.endswith(".dvc"):
        raise FlowError(
            f"data/raw/{name} is made by the stage {maker} of dvc.yaml; choose another name"
        )
    if has_raw(root, name):
        if name not in params.datasets and note_of(root, name) is None:
            raise FlowError(
                f"data/raw/{name} is there, but DVC and params.yaml do not know it: an add-data "
                f"that was killed left it; remove it (rm -r data/raw/{name}) and add it again"
            )
        raise FlowError(
            f"dataset {name!r} is there already in data/raw/{name}; for a new delivery replace its "
            f"files, then `dvc add data/raw/{name}` and `fewlayers run`; for another dataset "
            "choose another name"
        )
    if source is None:
        if any(options.values()):
            raise FlowError(
                f"{name}: how a named entry is read stands in params.yaml; leave the options out, "
                "or give a FILE or URL"
            )
        return _named(params, name)
    known = params.datasets.get(name)
    if known is not None and (known.url or any(options.values())):
        raise FlowError(
            f"params.yaml has an entry {name!r} already; add it by name alone "
            f"(`fewlayers add-data {name}`), or choose another name"
        )
    if known is not None:
        return known
    return dataset_entry(options)


def _audited(
    folder: Path, name: str, entry: Dataset, params: Params, source: str | None
) -> Profile:
    """The audit of the copy; a refusal names the file that was given."""
    try:
        return audit(folder, name, entry, params.windows)
    except DataError as error:
        if source is None or _is_url(source):
            raise
        given = Path(source)
        copy = folder if given.is_dir() else folder / given.name
        raise DataError(str(error).replace(str(copy), source)) from error


def _is_url(source: str) -> bool:
    return urllib.parse.urlparse(source).scheme in {"http", "https"}


def _import(root: Path, url: str, folder: Path) -> None:
    """Imports a URL with DVC, so that later runs look there for new deliveries."""
    folder.mkdir(parents=True)
    name = Path(urllib.parse.urlparse(url).path).name or f"{folder.name}.csv"
    try:
        dvc.import_url(root, url, folder / name)
    except FlowError as error:
        reason = str(error).rpartition(" - ")[2]
        raise FlowError(
            f"{url}: cannot be fetched ({reason}); check the address, or download the file and run "
            f"`fewlayers add-data {folder.name} FILE`"
        ) from error


def _named(params: Params, name: str) -> Dataset:
    if name not in params.datasets:
        known = ", ".join(key for key, entry in params.datasets.items() if entry.url)
        raise FlowError(
            f"params.yaml has no entry {name!r}; give a FILE or URL, or one of: {known or 'none'}"
        )
    return params.datasets[name]


def _copy(source: Path, folder: Path) -> None:
    """Copies a file, or a folder's parquet files, into a dataset's raw folder."""
    files = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    if not files or not all(file.is_file() for file in files):
        raise FlowError(f"{source}: no such file, or a folder without .parquet files")
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


@contextmanager
def _all_or_nothing(root: Path, name: str) -> Iterator[None]:
    """Puts everything back as it was when the block fails."""
    folder = raw_folder(root, name)
    note, ignore = folder.with_name(f"{name}.dvc"), folder.with_name(".gitignore")
    kept = [root / "params.yaml", note, ignore]
    made = [path for path in (folder.parent, folder.parent.parent) if not path.exists()]
    state_folder(root).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state_folder(root), prefix="before-") as place:
        saved = {path: Path(place) / str(n) for n, path in enumerate(kept) if path.exists()}
        for path, copy in saved.items():
            shutil.copy2(path, copy)
        try:
            yield
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            for path in kept:
                path.unlink(missing_ok=True)
                if path in saved:
                    shutil.copy2(saved[path], path)
            for path in made:
                shutil.rmtree(path, ignore_errors=True)
            raise
