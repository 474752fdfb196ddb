"""The forty bad inputs: each is generated, and is refused, fixed or accepted with a warning.

Row 40 (params.yaml) is in tests/tasks/test_params.py; here is its horizon longer than the data.
"""

import gzip
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.artifacts.data import Profile
from tasks.data.series import load_series
from tasks.errors import DataError
from tasks.prepare import main
from tests.tasks.data.bad_files import (
    ROWS,
    START,
    Make,
    booleans_parquet,
    cell,
    column,
    content,
    drop_rows,
    header,
    huge_csv,
    local_hours,
    long_rows,
    many_columns_csv,
    many_columns_parquet,
    stamped,
    stamps,
    text_of,
    wide,
    wide_rows,
)

CONTEXT, HORIZON = 16, 4


@dataclass(frozen=True)
class Case:
    """A bad input, the dataset's settings, and what must come of it."""

    number: str
    make: Make
    refused: str | None = None
    fixed: str | None = None
    warned: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    names: list[str] | None = None  # of the series that remain
    missing: int | None = None


LONG = {"kind": "long"}
SHIFTED = {"time_format": "%d/%m/%Y %H:%M"}
HOURS = stamps()
MIXED_OFFSETS = [
    str(START + timedelta(hours=i + (i % 2))) + ("+01:00" if i % 2 else "+00:00")
    for i in range(ROWS)
]  # fmt: skip
DAY_FIRST = [(START + timedelta(hours=i)).strftime("%d/%m/%Y %H:%M") for i in range(ROWS)]


def _unsafe(name: str) -> Case:
    return Case(
        f"36-37 id {name!r}", long_rows({name: HOURS}),
        refused=r"line 2, column 'unique_id': .*is not a safe name; use letters", settings=LONG,
    )  # fmt: skip


SOUND = text_of(wide_rows())
CASES = [
    Case("1 empty", content(""), refused=r"data\.csv: is empty; .*at least 31 of them"),
    Case("2 header only", content("date,a\n"), refused=r"has 0 rows .*at least 31 are needed"),
    Case("3 one row", content("date,a\n2024-01-01,1\n"), refused=r"has 1 rows .*at least 31"),
    Case("3 too few rows", wide(lambda c: None, rows=30), refused="too short.*at least 31 rows"),
    Case("4 some short", long_rows({"x": HOURS, "y": HOURS, "z": HOURS[:10]}), settings=LONG,
         warned="1 series with fewer than 20 training rows were dropped", names=["x", "y"]),
    Case("4 many short", long_rows({"x": HOURS, "y": HOURS[:19], "z": HOURS[:18]}), settings=LONG,
         refused=r"2 of 3 series \('y', 'z'\) .*at most 10% of the rows may vanish"),
    Case("5 constant", column(1, lambda v: "3.5"), names=["b"],
         warned="1 series are constant .* left out of training and of all errors: 'a'"),
    Case("5 all constant", wide(lambda c: [r.__setitem__(slice(1, 3), ["1", "1"]) for r in c[1:]]),
         refused="every series is constant"),
    Case("6 all missing", column(2, lambda v: ""), warned="1 series without any value",
         names=["a"]),
    Case("6 none left", wide(lambda c: [r.__setitem__(slice(1, 3), ["", "NaN"]) for r in c[1:]]),
         refused="every value is missing"),
    Case("7 blank and NaN", wide(lambda c: (c[5].__setitem__(1, ""), c[9].__setitem__(2, "NaN"),
                                           c[10].__setitem__(2, "null"))), missing=3),
    Case("7 many blank", wide(lambda c: [r.__setitem__(1, "") for r in c[1::2]]),
         warned="25% of the values are missing", missing=100),
    Case("8 inf", cell(7, 1, "inf"),
         refused=r"line 8, column 'a': must be finite; .*got inf \(1 such values\)"),
    Case("8 -Infinity", cell(7, 1, "-Infinity"), refused="line 8, column 'a': must be finite"),
    Case("9 beyond float32", cell(7, 1, "1e39"), refused="line 8, column 'a': must fit float32"),
    Case("9 beyond float64", cell(7, 1, "1e400"), refused="line 8, column 'a': must be finite"),
    Case("10 text", wide(lambda c: [c[i].__setitem__(1, "high") for i in (4, 6, 8, 11)]),
         refused=r"line 5 \(also 7, 9; 4 in all\), column 'a': .* got 'high'.*`targets`"),
    Case("10 hex", cell(3, 1, "0x1F"), refused="line 4, column 'a': must be a number; got '0x1F'"),
    Case("11 thousands", cell(3, 1, '"1,234.5"'), refused="got '1,234.5'; set `thousands: ','`"),
    Case("11 thousands read", cell(3, 1, '"1,234.5"'), settings={"thousands": ","}, missing=0),
    Case("11 decimal comma", cell(3, 1, '"1,5"'), refused="got '1,5'; set `decimal: ','`"),
    Case("11 decimal comma read", content(text_of(wide_rows(), ";").replace(".", ",")),
         settings={"decimal": ","}, fixed="delimiter ';'", names=["a", "b"]),
    Case("11 German", cell(3, 1, '"1.234,5"'), refused=r"`decimal: ','` and `thousands: '\.'`"),
    Case("11 point under decimal comma", content(text_of(wide_rows(), ";")),
         settings={"decimal": ","}, refused="line 2 .*column 'a': must be a number"),
    Case("12 booleans", column(1, lambda v: "True"), refused="store booleans as 0 and 1, or name"),
    Case("12 stored booleans", booleans_parquet, refused="row 1, column 'a': booleans are not num"),
    Case("13 semicolon", content(text_of(wide_rows(), ";")), fixed="delimiter ';'"),
    Case("13 tab", content(text_of(wide_rows(), "\t")), fixed=r"delimiter '\\t'"),
    Case("14 BOM", content(b"\xef\xbb\xbf" + SOUND.encode()), fixed="byte-order mark"),
    Case("15 UTF-16", content(SOUND.encode("utf-16")), refused="is UTF-16; .*iconv -f UTF-16"),
    Case("15 UTF-16 without mark", content(SOUND.encode("utf-16-le")), refused="byte 1 is NUL"),
    Case("16 Latin-1", content(SOUND.replace("a", "\xe4", 2).encode("latin-1")),
         refused=r"byte 1 \(0xe4\) is not UTF-8, perhaps Latin-1; .*iconv -f LATIN1"),
    Case("17 NUL", content(SOUND.encode()[:500] + b"\0" + SOUND.encode()[500:]),
         refused="byte 500 is NUL"),
    Case("18 extra field", wide(lambda c: c[9].append("7")),
         refused="line 10: an extra field: the header has 3 fields, this line 4"),
    Case("19 missing field", wide(lambda c: c[9].pop()),
         refused="line 10: a missing field: the header has 3 fields, this line 2"),
    Case("19 cut last line", content(SOUND[:-12]), refused="line 201: a missing field"),
    Case("20 open quote", cell(9, 1, '"1.5'), refused="line 10: a quote is not closed"),
    Case("21 doubled column", header("date", "a", "a"), refused="'a' is there 2 times; rename"),
    Case("21 nameless column", header("date", "a", ""), refused="column 3 has no name"),
    Case("22 padded names", header("date", " a", "b  "), names=["a", "b"],
         fixed="spaces around 2 column names"),
    Case("23 missing target", header("date", "load", "b"), settings={"targets": ["laod", "b"]},
         refused="no column 'laod' .targets.; did you mean 'load'"),
    Case("23 missing time", header("date", "a", "b"), settings={"time_column": "dates"},
         refused="no column 'dates' .time_column.; did you mean 'date'"),
    Case("24 identical twice", wide(lambda c: c.insert(8, c[8])),
         warned="1 repeated identical rows were dropped"),
    Case("24 twice, different", wide(lambda c: c.insert(8, [c[8][0], "9", "9"])),
         refused=r"line 10: the time 2024-01-01T07:00:00.* is there twice with different values "
                 r".also .*line 9; 1 such rows.; keep one"),
    Case("25 unsorted", wide(lambda c: c.__setitem__(slice(1, None), c[:0:-1])),
         fixed="rows were sorted by time .199 stood out of order"),
    Case("26 gaps", drop_rows(lambda i: i % 10 != 3), fixed="20 missing time stamps", missing=40),
    Case("26 most missing", drop_rows(lambda i: i % 3 == 0 or i < 2), settings={"freq": "h"},
         refused="66% of the rows of a regular h grid are missing .most rows are 3h apart"),
    Case("27 irregular", stamped([str(START + timedelta(minutes=i * i)) for i in range(ROWS)]),
         refused="follow no frequency from one minute to one year; set `freq`, or `irregular: as"),
    Case("27 some off the grid", wide(lambda c: c[5].__setitem__(0, "2024-01-01 04:07:00")),
         refused=r"rows are irregular \(most are h apart\); 2024-01-01T04:07:00.* does not \(1 of"),
    Case("27 below a minute", stamped(stamps(step=timedelta(seconds=7))),
         refused="follow no frequency from one minute to one year"),
    Case("27 not the named one", stamped(stamps(step=timedelta(minutes=7))),
         settings={"freq": "h"}, refused="rows must follow `freq: h`; .*most rows are 7min apart"),
    Case("28 two frequencies", long_rows({"x": HOURS, "y": stamps(step=timedelta(days=1))}),
         settings=LONG, refused=r"one frequency; got h: 1 series \('x'\); D: 1 series \('y'\)"),
    Case("29 mixed offsets", stamped(MIXED_OFFSETS), fixed="2 different UTC offsets"),
    Case("30 naive and aware", wide(lambda c: c[4].__setitem__(0, c[4][0] + "Z")),
         refused="line 5, column 'date': times with and without a UTC offset are mixed"),
    Case("31 repeated hour", local_hours("2023-10-25", ROWS),
         refused="is there twice with different values .*if clocks go back there, set `time_zone`"),
    Case("31 skipped hour", local_hours("2023-03-22", ROWS),
         refused="the hour from 2023-03-26T02.* where clocks go forward; set `time_zone`"),
    Case("31 repeated hour, zone", local_hours("2023-10-25", ROWS), missing=0,
         settings={"time_zone": "Europe/Berlin"}, names=["a"]),
    Case("31 skipped hour, zone", local_hours("2023-03-22", ROWS), missing=0,
         settings={"time_zone": "Europe/Berlin"}, names=["a"]),
    Case("31 unknown zone", local_hours("2023-03-22", ROWS), settings={"time_zone": "Mars/Base"},
         refused="do not fit `time_zone: Mars/Base`"),
    Case("32 day first", stamped(DAY_FIRST),
         refused=r"line 2, .*day or month\? set `time_format`.*; got '01/01/2024 00:00'"),
    Case("32 day first, format", stamped(DAY_FIRST), settings=SHIFTED, names=["a", "b"]),
    Case("32 month first, day format", stamped(["12/31/2024 00:00", *DAY_FIRST[1:]]),
         settings=SHIFTED, refused="line 2, .*does not fit `time_format: '%d/%m/%Y %H:%M'`"),
    Case("33 epoch", stamped([str(1_700_000_000 + 3600 * i) for i in range(ROWS)]),
         refused="line 2, .*a number is no date; set `time_unit`"),
    Case("33 epoch, unit", stamped([str(1_700_000_000 + 3600 * i) for i in range(ROWS)]),
         settings={"time_unit": "s"}, names=["a", "b"]),
    Case("33 wrong unit", stamped([str((1_700_000_000 + 3600 * i) * 1000) for i in range(ROWS)]),
         settings={"time_unit": "s"}, refused="must lie in the years 1700 to 2200"),
    Case("34 impossible date", wide(lambda c: c[5].__setitem__(0, "2024-02-30 00:00:00")),
         refused="line 6, column 'date': there is no such date or time; .*'2024-02-30 00:00:00'"),
    Case("34 hour 25", wide(lambda c: c[5].__setitem__(0, "2024-02-03 25:00:00")),
         refused="line 6, column 'date': there is no such date or time"),
    Case("34 out of range", wide(lambda c: c[5].__setitem__(0, "1024-01-01 04:00:00")),
         refused="line 6, column 'date': must lie in the years 1700 to 2200"),
    Case("34 blank time", wide(lambda c: c[5].__setitem__(0, "")), refused="line 6, .*is blank"),
    Case("35 ids NA and 007", long_rows({"NA": HOURS, "007": HOURS, "1e3": HOURS}), settings=LONG,
         names=["NA", "007", "1e3"]),
    *map(_unsafe, ("../../etc/passwd", "/etc/passwd", "a;rm -rf x", "$(id)", "a`id`", "a|b",
                   "=SUM(A1)", "+1+1", "-2", "@cmd", "<script>alert(1)</script>", "a\\b", "a&b")),
    Case("36-37 column name", header("date", "../a", "b"), refused="'../a' is not a safe name"),
    Case("38 HTML", content("<!DOCTYPE html><html><body>404</body></html>"), refused="an HTML"),
    Case("38 gzip", content(gzip.compress(SOUND.encode())), refused="holds gzip data, not CSV"),
    Case("38 not gzip", content(SOUND, "data.csv.gz"), refused="named .gz but is not gzip"),
    Case("38 torn gzip", content(gzip.compress(SOUND.encode())[:-50], "data.csv.gz"),
         refused="cannot be read"),
    Case("38 xlsx", content(b"PK\x03\x04" + bytes(100)), refused="a zip archive or an xlsx"),
    Case("38 LFS pointer", content("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
         refused="a Git LFS pointer, not CSV; fetch the data with `git lfs pull`"),
    Case("38 no parquet", content(SOUND, "data.parquet"), refused="not a parquet file"),
    Case("38 unknown kind", content(SOUND, "data.xls"), refused="must be named .csv, .csv.gz,"),
    Case("39 too large", huge_csv, refused=r"about \d\.\d+e\+09 values would take .*GiB"),
    Case("39 100,000 columns", many_columns_csv,
         refused="has 100001 columns, at most 10000 are read; store it as `kind: long`"),
    Case("39 many stored columns", many_columns_parquet, refused="has 12000 columns"),
    Case("40 horizon longer than the data", wide(lambda c: None, rows=15),
         refused=r"too short: train needs windows.context \+ windows.horizon = 16 \+ 4 rows"),
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/raw/bad").mkdir(parents=True)
    return tmp_path


def write_params(settings: dict[str, Any]) -> None:
    params = {
        "run": {"datasets": ["bad"], "models": {"m": "none"}},
        "windows": {"context": CONTEXT, "horizon": HORIZON},
        "datasets": {"bad": settings},
        "scales": {"s": {"backbone": "gpt2", "blocks": 2, "width": 8, "heads": 1,
                         "learning_rate": 0.001}},
        "models": {"m": {"family": "tsfm", "scale": "s", "patch": 8}},
    }  # fmt: skip
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_bad_input_gets_what_the_table_says(case: Case, workspace: Path) -> None:
    case.make(Path("data/raw/bad"))
    write_params(case.settings)

    if case.refused is not None:
        with pytest.raises(DataError, match=case.refused) as caught:
            main(["--dataset", "bad"])
        assert "data/raw/bad" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert [one.name for one in Path("data").iterdir()] == ["raw"]
        return

    main(["--dataset", "bad"])

    profile = Profile.read(Path("data/prepared/bad/profile.json"))
    for pattern, lines in ((case.fixed, profile.fixed), (case.warned, profile.warnings)):
        if pattern is None:
            assert lines == []
        else:
            assert any(re.search(pattern, line) for line in lines), lines
    history = load_series(Path("data/prepared/bad/history"))
    if case.names is not None:
        assert [one.name for one in history.series] == case.names
    if case.missing is not None:
        assert sum(one.missing for one in profile.channels) == case.missing


def test_every_row_of_the_table_is_there() -> None:
    numbers: set[int] = set()
    for case in CASES:
        first, _, last = case.number.split(" ")[0].partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    assert numbers == set(range(1, 41))
