from pathlib import Path

import pytest

from tasks.data.register import register
from tasks.errors import ParamsError
from tasks.params import load_params

PARAMS = """\
# The only source of values.
seed: 0

run:                   # what the graph covers
  datasets: [demo]     # the matrix
  models: {m: none}
  corpora: []          # collections

windows: {context: 16, horizon: 4}

datasets:
  demo:                # generated
    kind: wide
    freq: h            # hourly

# sizes
scales:
  s: {backbone: gpt2, blocks: 2, width: 8, heads: 1, learning_rate: 2e-3}
models:
  m: {family: tsfm, scale: s, patch: 8}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS)
    return file


def test_an_entry_is_added_and_everything_else_stays(path: Path) -> None:
    fields = {"kind": "wide", "freq": "D", "decimal": ",", "targets": ["a", "b: c"], "url": None}
    register(path, "mine", fields)
    expected = PARAMS.replace("[demo]     #", "[demo, mine] #").replace(
        "hourly\n",
        "hourly\n  mine:\n    kind: wide\n    freq: D\n    decimal: ','\n"
        "    targets: [a, 'b: c']\n",
    )
    assert path.read_text().split() == expected.split()
    assert [line.strip() for line in path.read_text().splitlines() if "#" not in line] == [
        line.strip() for line in expected.splitlines() if "#" not in line
    ]
    dataset = load_params(path).datasets["mine"]
    assert (dataset.freq, dataset.decimal, dataset.targets) == ("D", ",", ["a", "b: c"])


def test_entries_can_be_added_one_after_the_other(path: Path) -> None:
    register(path, "one", {})
    register(path, "two", {"split": {"train": 100, "validation": 20, "test": 20}})
    register(path, "three", {"kind": "collection"})
    params = load_params(path)
    assert params.run.datasets == ["demo", "one", "two"]
    assert params.run.corpora == ["three"]
    assert list(params.datasets) == ["demo", "one", "two", "three"]
    assert params.datasets["two"].split.train == 100
    for comment in ("# generated", "# hourly", "# sizes", "# collections", "# the matrix"):
        assert comment in path.read_text()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("demo", {}, "there is a dataset 'demo' already; choose another name"),
        ("../x", {}, r"must be letters, digits, _ and -.* got '\.\./x'"),
        ("a b", {}, "must be letters"),
        ("", {}, "must be letters"),
        ("x", {"frequency": "h"}, "datasets.x: there is no key 'frequency'; did you mean 'freq'"),
        ("x", {"kind": "tall"}, "datasets.x.kind: "),
        ("x", {"split": {"train": 0.7, "validation": 0.1, "test": 0.7}}, "sum to 1"),
    ],
)
def test_what_params_do_not_accept_leaves_the_file_untouched(
    path: Path, name: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        register(path, name, fields)
    assert path.read_text() == PARAMS
    assert list(path.parent.iterdir()) == [path]
