from pathlib import Path

import numpy as np
import pytest

from tasks.data.mixes import MixManifest, load_mix
from tasks.data.series import Series, SeriesSet
from tasks.errors import ArtifactError, ParamsError
from tasks.mix import main
from tasks.params import load_params

PARAMS = """\
run: {datasets: [d, e], models: {m: none}, mixes: [both]}
windows: {context: 16, horizon: 4}
datasets: {d: {}, e: {}}
mixes: {both: {members: [d, e]}}
scales: {s: {backbone: gpt2, blocks: 2, width: 8, heads: 1, learning_rate: 1e-3}}
models: {m: {family: tsfm, scale: s, patch: 8}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    for name, length in (("d", 30), ("e", 40)):
        values = np.arange(length, dtype=np.float32)
        series = (Series(name, 0, length, length - 5, 0.0, 1.0),)
        SeriesSet(values, series).save(Path("data/prepared") / name / "history")
    return tmp_path


def test_a_mix_names_its_members_by_hash_and_loads(workspace: Path) -> None:
    main(["--mix", "both"])
    path = Path("data/mixes/both.json")
    manifest = MixManifest.read(path)
    assert [(one.dataset, one.num_points) for one in manifest.members] == [("d", 30), ("e", 40)]
    data, _ = load_mix(path, load_params().mixes["both"], Path())
    assert len(data.values) == 70


def test_an_unknown_mix_is_refused(workspace: Path) -> None:
    with pytest.raises(ParamsError, match="no mix named 'none'; it has: both"):
        main(["--mix", "none"])


def test_an_unprepared_member_is_refused(workspace: Path) -> None:
    Path("data/prepared/e/history/series.json").unlink()
    with pytest.raises(ArtifactError, match=r"e/history/series\.json: missing"):
        main(["--mix", "both"])
    assert not Path("data/mixes").exists()
