"""Programs for serving: equal to the model, for any batch; refused where they would not be."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from flows.cli import app
from tasks.errors import ExportError
from tasks.models import export
from tasks.models.export import (
    LARGEST_ONNX,
    Forecasting,
    compare,
    example,
    export_model,
    load_onnx,
    load_program,
    trace,
)
from tasks.models.interface import Forecast
from tasks.models.native import NativeModel
from tests.tiny import CONTEXT, HORIZON, tiny_model

READ = {".pt2": load_program, ".onnx": load_onnx}


def check(model: object, path: Path, outputs: int) -> None:
    """Exports the model and compares on a batch size that the export has not seen."""
    pytest.importorskip("onnxscript")
    made = export_model(model, path, horizon=HORIZON, batch=4)  # type: ignore[arg-type]
    assert made.is_dynamic
    context = example(7, CONTEXT)
    with torch.inference_mode():
        expected = Forecasting(model, HORIZON)(context)  # type: ignore[arg-type]
    found = READ[path.suffix](path)(context)
    if path.suffix == ".onnx":
        onnx = pytest.importorskip("onnx")
        names = [one.name for one in onnx.load(path).graph.output]
        assert names == ["mean", "quantiles"][:outputs]
    assert len(found) == len(expected) == outputs
    for own, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_a_native_model_is_exported(tmp_path: Path, ending: str) -> None:
    check(tiny_model().with_blocks([0, 3]), tmp_path / f"model{ending}", 1)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_chronos_bolt_is_exported_with_its_quantiles(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("chronos")
    from tests.tasks.models.zoo.tiny_bolt import tiny

    check(tiny().with_blocks([1, 3]), tmp_path / f"model{ending}", 2)


def test_the_command_says_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(blocks=1).save(tmp_path / "model")
    done = CliRunner().invoke(app, ["export", "model", "model.pt2"])
    assert done.exit_code == 0, done.output
    expected = "model.pt2: 64 rows in, 16 out, any batch; equals the model's forecasts"
    assert done.output.splitlines()[-1] == expected


class Sampling(NativeModel):
    """Draws its forecast."""

    def forecast(self, context: Tensor, horizon: int) -> Forecast:
        return Forecast(torch.randn(len(context), horizon))


class Untraceable(NativeModel):
    """Decides by the values."""

    def forecast(self, context: Tensor, horizon: int) -> Forecast:
        found = super().forecast(context, horizon)
        return found if float(found.mean.sum()) > -1e9 else Forecast(-found.mean)


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Sampling, "is drawn at random"), (Untraceable, "of 16 steps cannot be traced")],
)
def test_what_cannot_be_exported_is_one_clear_line(
    tmp_path: Path, kind: type[NativeModel], message: str
) -> None:
    model = kind(tiny_model(blocks=1).config).eval()
    with pytest.raises(ExportError, match=message) as found:
        export_model(model, tmp_path / "model.pt2", horizon=HORIZON, batch=4)
    assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"must end in .pt2 \(torch.export\) or .onnx"):
        export_model(tiny_model(blocks=1), tmp_path / "model.tflite", horizon=HORIZON, batch=4)


def test_a_model_too_large_for_one_onnx_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LARGEST_ONNX == 2_000_000_000
    monkeypatch.setattr(export, "LARGEST_ONNX", 1000)
    with pytest.raises(ExportError, match=r"one ONNX file holds 2; export .pt2"):
        export_model(tiny_model(blocks=1), tmp_path / "model.onnx", horizon=HORIZON, batch=4)


def test_a_program_that_forecasts_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = trace(tiny_model(blocks=1), horizon=HORIZON)
    with pytest.raises(ExportError, match=r"x.onnx: its forecasts differ from the model's by"):
        compare(traced, lambda context: (traced.module(context)[0] + 0.01,), "x.onnx")
    with pytest.raises(ExportError, match="differ"):
        compare(traced, lambda context: (traced.module(context)[0] * float("nan"),), "x.onnx")
    compare(traced, lambda context: (traced.module(context)[0] * (1 + 1e-6),), "x.onnx")


def test_onnx_without_its_packages_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ExportError, match=r"pip install 'fewlayers\[onnx\]'"):
        load_onnx(tmp_path / "model.onnx")
