from pathlib import Path

import pytest

from tasks.artifacts.data import Profile
from tasks.generate import main
from tasks.prepare import main as prepare

PARAMS = """\
run: {datasets: [demo], models: {m: none}, corpora: [synthetic_corpus]}
windows: {context: 64, horizon: 16}
generator: {channels: 3, rows: 900, seed: SEED}
datasets: {demo: {freq: h, time_column: date}, synthetic_corpus: {kind: collection}}
scales: {s: {backbone: gpt2, blocks: 2, width: 8, heads: 1, learning_rate: 1e-3}}
models: {m: {family: tsfm, scale: s}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    generate(7)
    return tmp_path


def generate(seed: int) -> dict[str, bytes]:
    Path("params.yaml").write_text(PARAMS.replace("SEED", str(seed)))
    main([])
    return {str(path): path.read_bytes() for path in Path("data").rglob("*.*")}


def test_the_seed_decides_every_byte(workspace: Path) -> None:
    first = generate(7)
    assert sorted(first) == ["data/raw/demo/demo.csv", "data/raw/synthetic_corpus/corpus.parquet"]
    assert generate(7) == first
    other = generate(8)
    assert all(other[name] != first[name] for name in first)


def test_what_was_generated_is_prepared_and_called_synthetic(workspace: Path) -> None:
    for name, series in (("demo", 3), ("synthetic_corpus", 360)):
        prepare(["--dataset", name])
        profile = Profile.read(Path(f"data/prepared/{name}/profile.json"))
        assert profile.synthetic
        assert profile.num_series == series
        assert profile.dropped_series == []
        assert profile.warnings == []
        assert profile.fixed == []


def test_the_demo_has_missing_values_that_are_kept(workspace: Path) -> None:
    prepare(["--dataset", "demo"])
    profile = Profile.read(Path("data/prepared/demo/profile.json"))
    assert 0 < profile.missing_share < 0.1
    assert (profile.freq, profile.season, profile.rows) == ("h", 24, 900)
