import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.sources import Source, read_source
from tasks.errors import DataError
from tasks.sections.data import Dataset


def frame_of(rows: int = 60, start: str = "2024-01-01") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(rows, 2)).round(3), columns=["a", "b"])
    frame.insert(0, "date", pd.date_range(start, periods=rows, freq="h"))
    return frame


def read(path: Path, **settings: object) -> Source:
    return read_source(path, Dataset.model_validate(settings), rows_needed=10)


def assert_same(one: Source, other: Source) -> None:
    assert [s.name for s in one.series] == [s.name for s in other.series]
    assert (one.rows, one.freq, one.first, one.last) == (
        other.rows, other.freq, other.first, other.last,
    )  # fmt: skip
    for left, right in zip(one.series, other.series, strict=True):
        assert left.offset == right.offset
        np.testing.assert_array_equal(left.values, right.values)


def test_every_form_of_the_same_data_reads_alike(tmp_path: Path) -> None:
    frame = frame_of()
    plain = tmp_path / "x.csv"
    frame.to_csv(plain, index=False)
    source = read(plain)
    np.testing.assert_array_equal(source.series[0].values, frame["a"])
    assert (source.freq, source.season, source.rows) == ("h", 24, 60)
    assert (source.first, source.last) == ("2024-01-01 00:00:00", "2024-01-03 11:00:00")

    frame.to_csv(tmp_path / "x.csv.gz", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "quoted.csv", index=False, quoting=1, lineterminator="\r\n")
    (tmp_path / "blank.csv").write_text("\n" + plain.read_text().replace("\n", "\n\n"))
    for name in ("x.csv.gz", "x.parquet", "quoted.csv", "blank.csv"):
        assert_same(read(tmp_path / name), source)

    melted = frame.melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
    melted.to_csv(tmp_path / "long.csv", index=False)
    assert_same(read(tmp_path / "long.csv", kind="long"), source)


def test_files_of_a_folder_are_joined_and_companions_passed_over(tmp_path: Path) -> None:
    frame = frame_of()
    frame.iloc[:25].to_csv(tmp_path / "1.csv", index=False)
    frame.iloc[25:, [0, 2, 1]].to_csv(tmp_path / "2.csv.gz", index=False)
    for name in ("1.csv.dvc", ".gitignore", "README.md", ".DS_Store"):
        (tmp_path / name).write_text("not data")
    source = read(tmp_path)
    assert source.files == ["1.csv", "2.csv.gz"]
    np.testing.assert_array_equal(source.series[1].values, frame["b"])
    assert source.findings.fixed == []
    assert not source.is_synthetic


def test_messages_name_the_file_of_a_folder(tmp_path: Path) -> None:
    frame = frame_of().astype({"a": object})
    frame.loc[40, "a"] = "x"
    frame.iloc[:25].to_csv(tmp_path / "1.csv", index=False)
    frame.iloc[25:].to_csv(tmp_path / "2.csv", index=False)
    with pytest.raises(DataError, match=r"2\.csv, line 17, column 'a': must be a number; got 'x'"):
        read(tmp_path)


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    frame_of().to_csv(tmp_path / "1.csv", index=False)
    frame_of(start="2025-01-01").rename(columns={"b": "c"}).to_csv(tmp_path / "2.csv", index=False)
    with pytest.raises(DataError, match=r"2\.csv: its columns must be those of .*1\.csv; 'b' is"):
        read(tmp_path)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not found"):
        read(tmp_path / "none")
    with pytest.raises(DataError, match="holds no data file"):
        read(tmp_path)


def test_targets_choose_columns_in_order(tmp_path: Path) -> None:
    frame_of().assign(note="text").to_csv(tmp_path / "x.csv", index=False)
    source = read(tmp_path, targets=["b", "a"])
    assert [one.name for one in source.series] == ["b", "a"]


@pytest.mark.parametrize("targets", [["a", "a"], ["date", "a"]])
def test_impossible_targets_are_refused(tmp_path: Path, targets: list[str]) -> None:
    frame_of().to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="must name different value columns"):
        read(tmp_path, targets=targets)


def test_an_unclear_time_column_is_asked_for(tmp_path: Path) -> None:
    frame_of().rename(columns={"date": "when"}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="set `time_column` to one of: when, a, b"):
        read(tmp_path)
    assert read(tmp_path, time_column="when").rows == 60


def test_long_data_read_as_wide_get_the_remedy(tmp_path: Path) -> None:
    frame = frame_of().melt("date", var_name="unique_id", value_name="y")
    frame.rename(columns={"date": "ds"}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="set `kind: long`"):
        read(tmp_path)


def test_long_series_stand_on_one_clock(tmp_path: Path) -> None:
    rows = [("x", f"2024-01-01 {hour:02d}:00", hour) for hour in range(20)]
    rows += [("y", f"2024-01-01 {hour:02d}:00", hour) for hour in range(5, 24) if hour != 9]
    pd.DataFrame(rows, columns=["unique_id", "ds", "y"]).to_csv(tmp_path / "x.csv", index=False)
    source = read(tmp_path, kind="long")
    assert [(one.name, one.offset, len(one.values)) for one in source.series] == [
        ("x", 0, 20), ("y", 5, 19),
    ]  # fmt: skip
    assert source.rows == 24
    assert source.findings.gaps == 1
    assert np.isnan(source.series[1].values[4])


def test_rows_can_be_kept_as_they_are(tmp_path: Path) -> None:
    frame = frame_of()
    frame["date"] = frame["date"].where(frame.index != 7, frame["date"].shift())
    frame.drop(index=[20, 21, 22]).to_csv(tmp_path / "x.csv", index=False)
    source = read(tmp_path, irregular="as_rows")
    assert source.rows == 57
    np.testing.assert_array_equal(source.series[0].values, frame["a"].drop(index=[20, 21, 22]))
    assert source.findings.gaps == 0
    assert source.findings.warnings == [
        "1 repeated time stamps were kept as rows",
        "2 gaps between rows were left as they are",
    ]


def test_long_data_need_a_grid(tmp_path: Path) -> None:
    frame = frame_of().melt("date", var_name="unique_id", value_name="y")
    frame.rename(columns={"date": "ds"}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="`irregular: as_rows` needs `kind: wide`"):
        read(tmp_path, kind="long", irregular="as_rows")


def collection(path: Path, **columns: object) -> None:
    rows = {
        "dataset": ["m", "m"], "item_id": ["007", "NA"], "freq": ["h", "h"],
        "start": [None, "2024-01-01"],
        "target": [[float(i) for i in range(20)], [1.0] * 15 + [float("nan"), 2.0]],
    }  # fmt: skip
    table = pa.table({**rows, **columns})
    pq.write_table(table, path)


def test_collections_keep_names_as_text_and_missing_values(tmp_path: Path) -> None:
    collection(tmp_path / "x.parquet")
    source = read(tmp_path, kind="collection")
    assert [one.name for one in source.series] == ["m/007", "m/NA"]
    assert np.isnan(source.series[1].values[15])
    assert (source.freq, source.season) == ("h", 24)


def test_short_series_of_a_collection_are_dropped_and_named(tmp_path: Path) -> None:
    collection(tmp_path / "x.parquet", target=[[1.0, 2.0] * 10, [1.0] * 15])
    source = read(tmp_path, kind="collection")
    assert [one.name for one in source.series] == ["m/007"]
    assert source.findings.dropped == ["m/NA"]
    assert source.findings.warnings == ["1 series with fewer than 16 values were dropped"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"target": [[1.0] * 20, [1.0] * 10 + [float("inf")]]}, "row 2, column 'target'.*got inf"),
        ({"target": [[1e39] * 20, [1.0] * 20]}, "row 1, column 'target'.*fit float32"),
        ({"target": ["a", "b"]}, "must hold lists of numbers; it holds string"),
        ({"target": [[1.0], [2.0]]}, "no series has 16 observed values .2 series read"),
        ({"item_id": ["x", "x"]}, "row 2: series 'm/x' is also at .*row 1"),
        ({"item_id": ["../x", "y"]}, "row 1: 'm/../x' is not a safe name"),
        ({"item_id": [None, "y"]}, "'item_id': must not be blank"),
    ],
)
def test_bad_collections_are_refused(
    tmp_path: Path, columns: dict[str, object], message: str
) -> None:
    collection(tmp_path / "x.parquet", **columns)
    with pytest.raises(DataError, match=message):
        read(tmp_path, kind="collection")


def test_other_files_are_no_collection(tmp_path: Path) -> None:
    frame_of().to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="a collection must be parquet"):
        read(tmp_path, kind="collection")
    (tmp_path / "x.csv").unlink()
    frame_of().to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"needs the columns .*'dataset' is not there"):
        read(tmp_path, kind="collection")


SOUND = frame_of().to_csv(index=False).encode()
PIECES = [b",", b"\n", b'"', b";", b"\t", b"-", b"9", b".", b"e", b"inf", b"\xff", b"\r", b"\0",
          b" ", b"Z", b"1e308", b""]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, len(SOUND)), st.sampled_from(PIECES)), max_size=4),
    st.sampled_from([{}, {"time_zone": "Europe/Berlin"}, {"decimal": ","}, {"freq": "MS"}]),
)
def test_damaged_text_is_read_or_refused_and_nothing_else(
    changes: list[tuple[int, bytes]], settings: dict[str, str]
) -> None:
    data = SOUND
    for place, piece in changes:
        data = data[:place] + piece + data[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(data)
        try:
            source = read(path, **settings)
        except DataError:
            return
    assert {len(one.values) for one in source.series} == {source.rows}
