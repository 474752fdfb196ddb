"""Raw files by mirror: names, folders, sha256."""

import gzip
import hashlib
import zipfile
from pathlib import Path

import pytest

from tasks.data.fetch import content_sha256, datasets_to_fetch, fetch
from tasks.errors import DataError
from tasks.params import load_params
from tasks.sections.data import Dataset
from tests.flows.support import PARAMS

CONTENT = b"date,load\n2024-01-01,1\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/files/ETTh1.csv"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("FEWLAYERS_MIRROR", str(folder))
    return folder


@pytest.mark.parametrize("file", ["ETTh1.csv", "ETTh1.csv.gz", "etth1.csv.gz", "sub/etth1.csv"])
def test_mirrored_file_is_found_checked_and_kept_as_delivered(
    tmp_path: Path, mirror: Path, file: str
) -> None:
    packed = gzip.compress(CONTENT) if file.endswith(".gz") else CONTENT
    (mirror / file).parent.mkdir(exist_ok=True)
    (mirror / file).write_bytes(packed)
    folder = fetch(tmp_path, "etth1", {"etth1": Dataset(url=URL, sha256=SHA256)})
    assert folder == tmp_path / "data" / "raw" / "etth1"
    assert [p.name for p in folder.iterdir()] == [Path(file).name]
    assert (folder / Path(file).name).read_bytes() == packed


def test_wrong_sha256_is_refused_and_nothing_is_left(tmp_path: Path, mirror: Path) -> None:
    (mirror / "ETTh1.csv").write_bytes(CONTENT + b"2024-01-02,2\n")
    with pytest.raises(DataError, match=rf"^ETTh1.csv: sha256 must be {SHA256}; got \w{{64}};"):
        fetch(tmp_path, "etth1", {"etth1": Dataset(url=URL, sha256=SHA256)})
    assert not (tmp_path / "data").exists()


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(CONTENT)[:-9])
    with pytest.raises(DataError, match=r"^x.csv.gz: damaged gzip"):
        content_sha256(path)


def test_collection_is_a_folder_of_the_mirror(tmp_path: Path, mirror: Path) -> None:
    (mirror / "corpus").mkdir()
    for name in ("a.parquet", "b.parquet", "notes.txt"):
        (mirror / "corpus" / name).write_text(name)
    folder = fetch(tmp_path, "corpus", {"corpus": Dataset(kind="collection")})
    assert sorted(p.name for p in folder.iterdir()) == ["a.parquet", "b.parquet"]


def test_unreadable_url_names_it_and_the_mirror(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"http://127.0.0.1:9/x.csv cannot be read .*_MIRROR"):
        fetch(tmp_path, "etth1", {"etth1": Dataset(url="http://127.0.0.1:9/x.csv")})


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must start with http or https; got 'file:///etc/passwd'"):
        fetch(tmp_path, "etth1", {"etth1": Dataset(url="file:///etc/passwd")})


def test_mirror_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWLAYERS_MIRROR", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"^FEWLAYERS_MIRROR must name a folder; got"):
        fetch(tmp_path, "etth1", {"etth1": Dataset(url=URL)})


def test_zip_with_one_csv_is_unpacked(tmp_path: Path) -> None:
    from tasks.data.fetch import _unzip

    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("deep/weather.csv", CONTENT)
    assert _unzip(tmp_path / "w.zip").read_bytes() == CONTENT
    with zipfile.ZipFile(tmp_path / "w.zip", "a") as archive:
        archive.writestr("second.csv", CONTENT)
    with pytest.raises(DataError, match=r"^w.zip: must hold one .csv file; it holds 2"):
        _unzip(tmp_path / "w.zip")


def test_only_absent_datasets_that_no_stage_makes_are_fetched(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    params = load_params(tmp_path / "params.yaml")
    assert datasets_to_fetch(tmp_path, params, ["data/raw/demo"]) == []
    with pytest.raises(DataError, match=r"dataset 'demo' has no files .* `fewlayers add-data demo"):
        datasets_to_fetch(tmp_path, params, [])
    (tmp_path / "data" / "raw" / "demo").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "demo" / "x.csv").write_text("x")
    assert datasets_to_fetch(tmp_path, params, []) == []


def test_a_joined_dataset_has_a_folder_per_member(tmp_path: Path, mirror: Path) -> None:
    for name in ("one", "two"):
        (mirror / f"{name}.csv").write_bytes(CONTENT)
    datasets = {
        "one": Dataset(sha256=SHA256),
        "both": Dataset(kind="joined", members={"one": Dataset(), "two": Dataset()}),
    }
    folder = fetch(tmp_path, "both", datasets)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"one/one.csv", "two/two.csv"}
    (mirror / "one.csv").write_bytes(CONTENT + b"x")
    with pytest.raises(DataError, match=r"^one.csv: sha256 must be"):
        fetch(tmp_path, "both", datasets)
