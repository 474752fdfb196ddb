"""The stage measure on a tiny workspace; no test asserts a time."""

import os
from pathlib import Path

import pytest

from tasks.artifacts.evaluation import Measurement
from tasks.errors import ArtifactError
from tasks.measure import main, peak_in_child
from tests.tasks.metrics.workspace import write_workspace

ARGUMENTS = ["--dataset", "toy", "--model", "small"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_workspace(tmp_path)
    return tmp_path


def test_measurement_holds_every_setting_of_both_models(workspace: Path) -> None:
    main(ARGUMENTS)
    found = Measurement.read(workspace / "measurements/toy/small.json")
    assert found.threads == sorted({1, len(os.sched_getaffinity(0))})
    keys = {f"threads={threads},batch={batch}" for threads in found.threads for batch in (1, 4)}
    assert set(found.full) == set(found.pruned) == set(found.speedup_p50) == keys
    for key, speedup in found.speedup_p50.items():
        assert speedup == pytest.approx(found.full[key].p50_ms / found.pruned[key].p50_ms)
        assert found.full[key].p50_ms <= found.full[key].p95_ms
    assert found.peak_bytes_full > 0
    assert "torch 2" in found.machine
    assert set(found.parameters_full) == {"all", "blocks", "used"}
    assert found.parameters_full["blocks"] == 3 * found.parameters_pruned["blocks"]


def with_runtimes(workspace: Path, names: str) -> None:
    path = workspace / "params.yaml"
    path.write_text(path.read_text().replace("warmup: 1}", f"warmup: 1, runtimes: [{names}]}}"))


def test_other_runtimes_are_measured_where_they_are_asked_for(workspace: Path) -> None:
    with_runtimes(workspace, "eager, exported")
    main(ARGUMENTS)
    found = Measurement.read(workspace / "measurements/toy/small.json")
    assert list(found.runtimes_full) == list(found.runtimes_pruned) == ["eager", "exported"]
    for times in (*found.runtimes_full.values(), *found.runtimes_pruned.values()):
        assert set(times) == set(found.full)
    assert found.runtimes_failed == {}


def test_a_runtime_that_fails_is_left_out_with_the_reason(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("torch.compile", no_compiler)
    with_runtimes(workspace, "compiled, eager")
    main(ARGUMENTS)
    found = Measurement.read(workspace / "measurements/toy/small.json")
    assert list(found.runtimes_full) == ["eager"]
    assert found.runtimes_failed == {"compiled": "RuntimeError: no C++ compiler"}


def test_a_file_without_runtimes_is_read(workspace: Path) -> None:
    from tests.tasks.figures.made_up_run import made_up_measurement

    old = made_up_measurement("toy", "tsfm-pico").model_dump(exclude={"runtimes_full"})
    assert Measurement.model_validate(old).runtimes_full == {}


def test_failure_of_the_memory_process_is_one_line(workspace: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gone: its memory could not be measured: error: gone"):
        peak_in_child(Path("gone"), "toy", "small")
    assert not (workspace / "measurements").exists()
