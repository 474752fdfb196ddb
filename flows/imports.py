"""Imported data: looked up at its source before every run, taken only when the audit accepts it."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from flows import dvc
from flows.environment import state_folder
from tasks.data.fetch import raw_folder
from tasks.data.prepared import audit
from tasks.params import Params

RAW: Final = "data/raw/"


def dataset_of(path: str) -> str:
    """The dataset that a path below data/raw belongs to: a folder's `.dvc` file or one in it."""
    return path.removeprefix(RAW).partition("/")[0].removesuffix(".dvc")


def note_of(root: Path, dataset: str) -> Path | None:
    """DVC's note of a dataset's raw files: beside their folder, or of an import within it."""
    folder = raw_folder(root, dataset)
    beside = folder.with_name(f"{dataset}.dvc")
    return beside if beside.is_file() else next(iter(sorted(folder.glob("*.dvc"))), None)


def update_import(root: Path, name: str, path: str, params: Params) -> bool:
    """Brings an import up to date; returns whether it has changed.

    Args:
        root: the workspace.
        name: its `.dvc` file.
        path: the file or folder it tracks.
        params: the dataset's entry says how to read it.

    Raises:
        FlowError: the source cannot be read; the data stay as they are.
        DataError: the new delivery is refused; the data and the `.dvc` file stay as they are.
    """
    dataset = dataset_of(name)
    with tempfile.TemporaryDirectory(dir=state_folder(root), prefix="update-") as place:
        note, data = root / name, root / path
        kept = Path(place) / "note", Path(place) / "data"
        shutil.copy2(note, kept[0])
        if data.is_file():
            shutil.copy2(data, kept[1])
        try:
            dvc.update(root, name)
            has_changed = note.read_bytes() != kept[0].read_bytes()
            if has_changed and dataset in params.datasets:
                audit(raw_folder(root, dataset), dataset, params.datasets[dataset], params.windows)
        except BaseException:  # a failed `dvc update` has taken the data away already
            shutil.copy2(kept[0], note)
            if kept[1].is_file():
                data.unlink(missing_ok=True)
                shutil.copy2(kept[1], data)
            raise
        return has_changed
