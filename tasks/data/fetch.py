"""Raw files of named datasets: by URL or from a mirror folder, checked against their sha256."""

import gzip
import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Final

from tasks.errors import DataError
from tasks.params import Params
from tasks.sections.data import Dataset

MIRROR_VARIABLE: Final = "FEWLAYERS_MIRROR"
TIMEOUT_SECONDS: Final = 60
CHUNK: Final = 1 << 20


class NetworkError(DataError):
    """A download failed; trying again may help."""


def raw_folder(root: Path, name: str) -> Path:
    """Where a dataset's raw files lie."""
    return root / "data" / "raw" / name


def has_raw(root: Path, name: str) -> bool:
    """True when the dataset's raw folder holds something."""
    folder = raw_folder(root, name)
    return folder.is_dir() and any(folder.iterdir())


def datasets_to_fetch(root: Path, params: Params, made: Iterable[str]) -> list[str]:
    """Datasets of this run whose raw files must be fetched first.

    Args:
        root: the workspace.
        params: its parameters.
        made: paths that stages of the graph make themselves.

    Raises:
        DataError: a dataset has neither files, nor a stage that makes them, nor a source.
    """
    made = set(made)
    names = dict.fromkeys([*params.run.datasets, *params.run.corpora])
    absent = [n for n in names if f"data/raw/{n}" not in made and not has_raw(root, n)]
    for name in absent:
        for source in _sources(name, params.datasets):
            entry = params.datasets.get(source)
            if (entry is None or entry.url is None) and not _mirrored(source, None):
                raise DataError(
                    f"dataset {source!r} has no files in data/raw/{name} and no url in "
                    f"params.yaml; bring them with `fewlayers add-data {source} FILE` or set "
                    f"{MIRROR_VARIABLE}"
                )
    return absent


def _sources(name: str, datasets: Mapping[str, Dataset]) -> list[str]:
    """The datasets whose files make up this one: itself, or its members."""
    return list(datasets[name].members) or [name]


def fetch(root: Path, name: str, datasets: Mapping[str, Dataset]) -> Path:
    """Puts the raw files of a named dataset into data/raw/NAME; returns that folder.

    From the folder that FEWLAYERS_MIRROR names, or else from the entry's URL. Files are kept as
    delivered; the sha256 is that of the content without gzip or zip. A joined dataset gets one
    folder per member, with the files of the dataset of that name.

    Args:
        root: the workspace.
        name: of the dataset.
        datasets: the section of params.yaml; it holds the entry.

    Raises:
        NetworkError: the download failed.
        DataError: the sha256 is not the one in params.yaml.
        DataError: there is no source.
    """
    state = root / ".state"
    state.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state, prefix=f"fetch-{name}-") as place:
        for source in _sources(name, datasets):
            below = source if datasets[name].members else ""
            _deliver(source, datasets.get(source, datasets[name]), Path(place, below))
        _move_in(Path(place), raw_folder(root, name))
    return raw_folder(root, name)


def _deliver(name: str, dataset: Dataset, place: Path) -> None:
    """Puts the files of one dataset into `place` and checks them."""
    place.mkdir(exist_ok=True)
    files = _mirrored(name, dataset.url)
    if files:
        delivered = [Path(shutil.copyfile(file, place / file.name)) for file in files]
    else:
        delivered = [_download(name, dataset.url, place)]
    if dataset.sha256 and len(delivered) == 1:
        check_sha256(delivered[0], dataset.sha256)


def _move_in(place: Path, folder: Path) -> None:
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for child in sorted(place.iterdir()):
        shutil.move(child, fresh / child.name)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _mirrored(name: str, url: str | None) -> list[Path]:
    """The files of a dataset in the mirror folder or one of its sub-folders."""
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return []
    top = Path(mirror)
    if not top.is_dir():
        raise DataError(f"{MIRROR_VARIABLE} must name a folder; got {mirror!r}")
    wanted = [f"{name}.csv.gz", f"{name}.csv", f"{name}.parquet"]
    if url:
        file = Path(urllib.parse.urlparse(url).path).name
        wanted = [file, f"{file}.gz", f"{Path(file).stem}.csv.gz", *wanted]
    for folder in (top, *sorted(child for child in top.iterdir() if child.is_dir())):
        for file in wanted:
            if (folder / file).is_file():
                return [folder / file]
    beside = (top / name, top.parent / name)  # a collection is a folder of its own
    return next((files for folder in beside if (files := sorted(folder.glob("*.parquet")))), [])


def _download(name: str, url: str | None, place: Path) -> Path:
    if url is None:
        raise DataError(f"dataset {name!r} has no url in params.yaml and no file in the mirror")
    parts = urllib.parse.urlparse(url)
    if parts.scheme not in {"http", "https"}:
        raise DataError(f"the url of dataset {name!r} must start with http or https; got {url!r}")
    target = place / (Path(parts.path).name or f"{name}.csv")
    try:
        answer = urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)  # noqa: S310
        with answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file, CHUNK)
    except (urllib.error.URLError, OSError) as error:
        raise NetworkError(
            f"dataset {name!r}: {url} cannot be read ({error}); check the network, or set "
            f"{MIRROR_VARIABLE} to a folder that holds {target.name}"
        ) from error
    if target.suffix != ".zip":
        return target
    unpacked = _unzip(target)
    target.unlink()
    return unpacked


def _unzip(archive: Path) -> Path:
    """The one CSV file of a zip archive, unpacked beside it."""
    with zipfile.ZipFile(archive) as content:
        members = [m for m in content.namelist() if m.lower().endswith(".csv")]
        if len(members) != 1:
            raise DataError(f"{archive.name}: must hold one .csv file; it holds {len(members)}")
        target = archive.with_name(Path(members[0]).name)
        with content.open(members[0]) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, CHUNK)
    return target


def check_sha256(path: Path, expected: str) -> None:
    """Compares the content, without gzip, with a sha256. Raises DataError."""
    found = content_sha256(path)
    if found != expected:
        raise DataError(
            f"{path.name}: sha256 must be {expected}; got {found}; the source has changed or is "
            "damaged: fetch it again, or correct sha256 in params.yaml if the change is wanted"
        )


def content_sha256(path: Path) -> str:
    """The sha256 of a file's content; gzip is taken off first. Raises DataError."""
    try:
        with path.open("rb") as raw:
            if raw.read(2) == b"\x1f\x8b":
                raw.seek(0)
                with gzip.open(raw) as content:
                    return _sha256(content)
            raw.seek(0)
            return _sha256(raw)
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path.name}: damaged gzip ({error}); fetch it again") from error


def _sha256(file: IO[bytes] | gzip.GzipFile) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
