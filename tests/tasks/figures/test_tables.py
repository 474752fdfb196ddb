"""Tables of the report: what other runtimes gain, where they were measured."""

from pathlib import Path

import pytest

from tasks.artifacts.evaluation import Latency
from tasks.figures.inputs import Pair, read_pair
from tasks.figures.tables import runtime_table
from tests.tasks.figures.made_up_run import write_run

KEY = "threads=1,batch=8"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    write_run(tmp_path, datasets=["demo"], models=["tsfm-pico"])
    return read_pair(tmp_path, dataset="demo", model="tsfm-pico")


def times(**by_runtime: float) -> dict[str, dict[str, Latency]]:
    return {name: {KEY: Latency(p50_ms=ms, p95_ms=2 * ms)} for name, ms in by_runtime.items()}


def test_no_other_runtime_no_table(pair: Pair) -> None:
    assert runtime_table(pair) is None


def test_every_runtime_is_compared_with_the_full_model_in_eager_mode(pair: Pair) -> None:
    measurement = pair.measurement.model_copy(
        update={
            "runtimes_full": times(eager=8.0, onnx=4.0),
            "runtimes_pruned": times(eager=2.0, onnx=1.0),
            "runtimes_failed": {"compiled": "no compiler"},
        }
    )
    table = runtime_table(Pair(**{**pair.__dict__, "measurement": measurement}))
    assert table is not None
    assert table.rows == [
        ["eager", "1", "8", "8.00", "2.00", "1.00 x", "4.00 x"],
        ["onnx", "1", "8", "4.00", "1.00", "2.00 x", "8.00 x"],
        ["compiled", "not measured: no compiler", "", "", "", "", ""],
    ]
