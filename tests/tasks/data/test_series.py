from pathlib import Path

import numpy as np
import pytest

from tasks.data.series import Series, SeriesSet, load_series
from tasks.errors import ArtifactError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    values = np.array([1, np.nan, 3, 4, 5], dtype=np.float32)
    series = (Series("a", 0, 2, 1, 0.5, 2.0), Series("b", 2, 3, 2, 0.0, 1.0))
    SeriesSet(values, series).save(tmp_path)
    return tmp_path


def test_load_gives_back_what_was_saved(saved: Path) -> None:
    data = load_series(saved)
    np.testing.assert_array_equal(data.values, np.array([1, np.nan, 3, 4, 5], dtype=np.float32))
    assert data.series[1] == Series("b", 2, 3, 2, 0.0, 1.0)


def test_loaded_values_can_be_written_without_touching_the_file(saved: Path) -> None:
    load_series(saved).values[0] = 9
    assert load_series(saved).values[0] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("series.json", "[", "not valid JSON"),
        ("series.json", "[]", "does not fit series.json"),
        ("series.json", '[{"name": "a"}]', "not readable"),
        ("values.npy", "x", "not readable"),
    ],
)
def test_damaged_files_are_refused(saved: Path, name: str, content: str, message: str) -> None:
    (saved / name).write_text(content)
    with pytest.raises(ArtifactError, match=message):
        load_series(saved)


@pytest.mark.parametrize("name", ["series.json", "values.npy"])
def test_missing_files_are_refused(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_series(saved)


def test_pickled_arrays_are_refused(saved: Path) -> None:
    np.save(saved / "values.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="not readable"):
        load_series(saved)
