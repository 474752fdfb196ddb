"""The measured table of published sizes, on tiny shapes and a CPU."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.bench import zoo_speed
from tests.bench.test_zoo import KNOWN
from tests.bench.zoo_speed import CHOSEN, FAMILIES, MODELS, Limit, main, measure, time_calls, tiny
from tests.bench.zoo_speed_table import SIDES, Row, cells

CPU = torch.device("cpu")
PATCHTST = "PatchTST/64 (paper)"


@pytest.fixture(autouse=True)
def _two_calls(monkeypatch):
    few = Limit(most=2, least=1, seconds=60)
    monkeypatch.setattr(zoo_speed, "WARM_UP", few)
    monkeypatch.setattr(zoo_speed, "TIMED", few)


def run(folder: Path, *arguments: str) -> list[Row]:
    return main(["--out", str(folder), "--device", "cpu", "--tiny", *arguments])


class TestMain:
    def test_writes_a_line_per_model_into_both_files(self, tmp_path):
        rows = run(tmp_path, "--only", "patchtst", "moirai2")
        assert [row.model for row in rows] == [PATCHTST, "Salesforce/moirai-2.0-R-small"]
        table = pd.read_csv(tmp_path / "zoo_speed.csv")
        assert table["family"].tolist() == ["patchtst", "moirai2"]
        assert table["blocks_full"].tolist() == [4, 4]
        assert table["blocks_kept"].tolist() == [1, 1]
        assert (table["weights_bytes_full"] > table["weights_bytes_kept"]).all()
        measured = [f"milliseconds_batch_{batch}_{side}" for batch in (1, 64) for side in SIDES]
        assert (table[measured] > 0).all(axis=None)
        assert table["peak_bytes_batch_64_full"].isna().all()  # there is none on a CPU
        assert table["failed"].isna().all()
        lines = (tmp_path / "zoo_speed.md").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("CPU, ")
        assert f"torch {torch.__version__}" in lines[0]
        assert lines[0].endswith("tiny shapes")
        assert lines[4].startswith(f"| {PATCHTST}, float32 | 4 -> 1 | ")

    def test_a_family_that_fails_says_so_and_the_next_one_runs(self, tmp_path, monkeypatch):
        build = zoo_speed.build

        def broken(published):
            if published.family == "patchtst":
                raise TypeError("no such\noperation | here")
            return build(published)

        monkeypatch.setattr(zoo_speed, "build", broken)
        failed, measured = run(tmp_path, "--only", "patchtst", "moirai2")
        assert failed.failed == "failed: TypeError: no such operation | here"
        assert measured.failed == ""
        assert set(measured.blocks) == set(SIDES)
        text = (tmp_path / "zoo_speed.md").read_text(encoding="utf-8")
        assert (
            f"| {PATCHTST}, float32; failed: TypeError: no such operation / here | - | - |" in text
        )

    def test_begins_no_model_once_the_seconds_are_over(self, tmp_path):
        [row] = run(tmp_path, "--only", "patchtst", "--seconds", "-1")
        assert row.failed == "not begun: -1 s were over"
        assert "not begun" in (tmp_path / "zoo_speed.csv").read_text(encoding="utf-8")

    def test_an_unknown_family_is_refused(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as stopped:
            run(tmp_path, "--only", "bert")
        assert stopped.value.code == 2
        assert "invalid choice: 'bert'" in capsys.readouterr().err


class TestMeasure:
    def test_what_was_measured_before_a_failure_is_kept(self, monkeypatch):
        seen = []

        def fails_at_the_fourth(run, device):
            seen.append(run)
            if len(seen) > 4:
                raise torch.OutOfMemoryError("out of memory")
            return 0.5

        monkeypatch.setattr(zoo_speed, "seconds_of", fails_at_the_fourth)
        [patchtst] = [one for one in MODELS if one.name == PATCHTST]
        row = measure(tiny(patchtst), CPU)
        assert row.failed == "failed: OutOfMemoryError: out of memory"
        assert row.milliseconds == {("full", 1): 500.0}
        assert row.flat()["speedup_batch_1"] is None

    def test_building_leaves_the_default_precision(self):
        [llama] = [one for one in MODELS if one.name == "GPT4TS on Llama-7B"]
        row = measure(tiny(llama), CPU)
        assert (row.failed, row.dtype) == ("", "bfloat16")
        assert torch.get_default_dtype() == torch.float32


class TestRow:
    def test_speed_up_and_saving_are_full_against_kept(self):
        row = Row("x", "patchtst", "float32")
        row.blocks = {"full": 12, "kept": 3}
        row.weights_bytes = {"full": 4_000_000, "kept": 1_000_000}
        row.milliseconds = {(s, b): ms for b in (1, 64) for s, ms in (("full", 9), ("kept", 3))}
        row.peak_bytes = {("full", 64): 2_000_000_000, ("kept", 64): 1_000_000_000}
        flat = row.flat()
        assert (flat["speedup_batch_1"], flat["speedup_batch_64"]) == (3, 3)
        assert (flat["weights_saved"], flat["peak_saved"]) == (0.75, 0.5)
        assert cells(row) == (
            "| x, float32 | 12 -> 3 | 4 MB -> 1 MB (-75%) | 9.00 -> 3.00 (3.00x) | "
            "9.00 -> 3.00 (3.00x) | 2.00 GB -> 1.00 GB (-50%) |"
        )


def test_slow_calls_are_fewer(monkeypatch):
    monkeypatch.setattr(zoo_speed, "seconds_of", lambda run, device: run())
    limit = Limit(most=10, least=2, seconds=1.5)
    assert len(time_calls(lambda: 0.1, CPU, limit)) == 10
    assert len(time_calls(lambda: 0.6, CPU, limit)) == 3
    assert len(time_calls(lambda: 9.0, CPU, limit)) == 2


def test_every_published_family_is_chosen():
    assert set(FAMILIES) == set(KNOWN) - {"custom", "tsfm"}
    assert len(MODELS) == len(CHOSEN)
