from pathlib import Path

import numpy as np
import pytest

from tasks.data.mixes import load_mix, make_manifest
from tasks.data.series import Series, SeriesSet
from tasks.errors import ArtifactError
from tasks.sections.data import Mix

MIX = Mix(members=["a", "b"])


def prepared(root: Path, name: str, lengths: list[int], padding: int = 0) -> None:
    parts, series, start = [], [], 0
    for index, length in enumerate(lengths):
        blank = np.full(padding, np.nan)
        parts.append(np.concatenate([blank, np.ones(length), blank]))
        series.append(Series(f"{name}{index}", start, len(parts[-1]), len(parts[-1]), 0.0, 1.0))
        start += len(parts[-1])
    values = np.concatenate(parts).astype(np.float32)
    SeriesSet(values, tuple(series)).save(root / "data/prepared" / name / "history")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    prepared(tmp_path, "a", [30, 40])
    prepared(tmp_path, "b", [5, 90], padding=20)
    make_manifest("m", MIX.members, tmp_path).write(tmp_path / "data/mixes/m.json")
    return tmp_path


def test_a_mix_holds_the_series_of_all_members(root: Path) -> None:
    data, weight = load_mix(root / "data/mixes/m.json", MIX, root)
    assert [one.name for one in data.series] == ["a0", "a1", "b0", "b1"]
    assert [one.start for one in data.series] == [0, 30, 70, 115]
    assert weight is None


def test_capped_weights_count_observed_values_up_to_the_cap(root: Path) -> None:
    mix = Mix(members=["a", "b"], weights="capped", cap=35)
    data, weight = load_mix(root / "data/mixes/m.json", mix, root)
    assert weight is not None
    assert [weight(one) for one in data.series] == [30, 35, 5, 35]


@pytest.mark.parametrize("name", ["values.npy", "series.json"])
def test_a_changed_member_is_refused(root: Path, name: str) -> None:
    path = root / "data/prepared/b/history" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match=rf"b/history/{name}: is not the file .* tasks\.mix"):
        load_mix(root / "data/mixes/m.json", MIX, root)


def test_a_missing_member_is_refused(root: Path) -> None:
    (root / "data/prepared/b/history/values.npy").unlink()
    with pytest.raises(ArtifactError, match=r"values\.npy: missing"):
        load_mix(root / "data/mixes/m.json", MIX, root)
    with pytest.raises(ArtifactError, match="missing"):
        make_manifest("m", ["a", "none"], root)


def test_a_manifest_for_other_members_is_refused(root: Path) -> None:
    with pytest.raises(ArtifactError, match=r"made for a, b, params\.yaml names a; run"):
        load_mix(root / "data/mixes/m.json", Mix(members=["a"]), root)
