"""Forecasts as a program without our code: torch.export (.pt2) and ONNX (.onnx).

A program takes contexts `[batch, context]`, NaN = missing, and gives `mean` `[batch, horizon]`
and, where the model has them, `quantiles` `[batch, horizon, levels]`. Each file is read back and
compared with the model itself before it takes its place.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tasks.artifacts.files import write_atomically
from tasks.errors import ExportError
from tasks.models.base import ForecastModel

TOLERANCE = 1e-4  # relative to the largest forecast
LEAST_BATCH = 2  # a batch of one would be taken for a constant
LARGEST_ONNX = 2_000_000_000  # bytes of a file without others beside it
PT2, ONNX = ".pt2", ".onnx"
OUTPUTS = ("mean", "quantiles")  # in ONNX files

Program = Callable[[Float[Tensor, "batch context"]], tuple[Tensor, ...]]


class Forecasting(nn.Module):
    """A model's forecast of one horizon as a module that gives tensors."""

    def __init__(self, model: ForecastModel, horizon: int) -> None:
        """`horizon` is fixed in what is exported."""
        super().__init__()
        self.model, self.horizon = model, horizon

    def forward(self, context: Float[Tensor, "batch context"]) -> tuple[Tensor, ...]:
        """The mean and, where there are some, the quantiles in ascending order of level."""
        found = self.model.forecast(context, self.horizon)
        if not found.quantiles:
            return (found.mean,)
        levels = sorted(found.quantiles)
        return found.mean, torch.stack([found.quantiles[level] for level in levels], dim=-1)


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A model as a graph.

    Attributes:
        program: of torch.export.
        module: the model itself, to compare with.
        context: values of a context, fixed.
        batch: of the trace; any other size works as well where `is_dynamic`.
    """

    program: ExportedProgram
    module: Forecasting
    context: int
    batch: int
    is_dynamic: bool

    def examples(self) -> list[Float[Tensor, "batch context"]]:
        """Contexts to compare on, with gaps; of several batch sizes where these are free."""
        sizes = {1, self.batch, self.batch + 1} if self.is_dynamic else {self.batch}
        device = next(self.module.parameters()).device
        return [example(size, self.context).to(device) for size in sorted(sizes)]


def example(batch: int, context: int) -> Float[Tensor, "batch context"]:
    """Seeded waves on a level, with a gap in the first."""
    generator = torch.Generator().manual_seed(batch)
    time = torch.arange(context) / 3 + torch.arange(batch)[:, None]
    values = 3 + time.sin() + 0.1 * torch.randn(batch, context, generator=generator)
    values[0, context // 4 : context // 3] = float("nan")
    return values


def trace(model: ForecastModel, *, horizon: int, batch: int = LEAST_BATCH) -> Traced:
    """The model's forecast as a graph, for any batch size where that can be traced.

    The model's parameters need no gradient from then on.

    Raises:
        ExportError: the family draws samples, or its forecast cannot be traced.
    """
    module = Forecasting(model.eval().requires_grad_(False), horizon)
    context, device = int(model.config.context), next(model.parameters()).device
    refuse_samples(module, example(LEAST_BATCH, context).to(device))
    batch = max(batch, LEAST_BATCH)
    reason = ""
    for is_dynamic in (True, False):
        shapes = {"context": {0: Dim("batch", min=1, max=2**20)}} if is_dynamic else None
        try:
            with torch.no_grad(), _quiet():
                program = torch.export.export(
                    module,
                    (example(batch, context).to(device),),
                    dynamic_shapes=shapes,
                    strict=False,
                )
        except Exception as error:
            reason = reason or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        return Traced(
            program=program, module=module, context=context, batch=batch, is_dynamic=is_dynamic
        )
    raise ExportError(
        f"{model.label}: its forecast of {horizon} steps cannot be traced ({reason}); try "
        f"--horizon {model.config.horizon}, or serve the folder with its own library"
    )


def refuse_samples(module: Forecasting, context: Float[Tensor, "batch context"]) -> None:
    """Raises ExportError where two forecasts differ because samples are drawn."""
    found = []
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        for seed in (0, 1):
            torch.manual_seed(seed)
            found.append(module(context)[0])
    if not torch.equal(*found):
        raise ExportError(
            f"{module.model.label}: its forecast is drawn at random, and a program that always "
            "gives the same one would be another model; serve the folder with its own library"
        )


def export_model(model: ForecastModel, path: Path, *, horizon: int, batch: int) -> Traced:
    """Writes a .pt2 or .onnx file, once what it gives was found equal to the model's forecasts.

    Raises:
        ExportError: another ending, a forecast that cannot be exported, or that is another one.
    """
    write, read = _format(path)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if path.suffix == ONNX and size > LARGEST_ONNX:
        raise ExportError(
            f"{path}: the weights have {size / 1e9:.1f} GB and one ONNX file holds 2; export .pt2"
        )
    traced = trace(model, horizon=horizon, batch=batch)

    def write_and_compare(temporary: Path) -> None:
        write(traced, temporary)
        compare(traced, read(temporary), path.name)

    write_atomically(path, write_and_compare)
    return traced


def compare(traced: Traced, program: Program, what: str) -> None:
    """Raises ExportError unless a program forecasts as the model does."""
    for context in traced.examples():
        with torch.inference_mode():
            expected = traced.module(context)
        for own, found in zip(expected, program(context), strict=True):
            scale = float(own.abs().max())
            difference = float((own - found).abs().max())
            if own.shape != found.shape or not difference <= TOLERANCE * scale:
                raise ExportError(
                    f"{what}: its forecasts differ from the model's by {difference:.3g} at a size "
                    f"of {scale:.3g}, at most {TOLERANCE:g} of it is allowed; serve the folder "
                    "with its own library"
                )


def _format(path: Path) -> tuple[Callable[[Traced, Path], None], Callable[[Path], Program]]:
    if path.suffix == PT2:
        return save_program, load_program
    if path.suffix == ONNX:
        return save_onnx, load_onnx
    raise ExportError(f"{path}: must end in {PT2} (torch.export) or {ONNX}")


def save_program(traced: Traced, path: Path) -> None:
    """Writes a file of torch.export."""
    data = io.BytesIO()
    torch.export.save(traced.program, data)
    path.write_bytes(data.getvalue())


def load_program(path: Path) -> Program:
    """The program in a file of torch.export."""
    module = torch.export.load(io.BytesIO(path.read_bytes())).module()
    return lambda context: tuple(module(context))


def save_onnx(traced: Traced, path: Path) -> None:
    """Writes an ONNX file. Raises ExportError."""
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                traced.program,
                dynamo=True,
                input_names=["context"],
                verbose=False,
            )
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"{traced.module.model.label}: ONNX lacks a part of its forecast ({reason}); "
            f"export {PT2}"
        ) from error
    assert program is not None
    _name_outputs(program.model.graph)
    program.save(path)


def _name_outputs(graph: Any) -> None:
    """Names a graph's outputs; the exporter's own option lets an inner value keep such a name."""
    outputs = dict(zip(graph.outputs, OUTPUTS, strict=False))
    for node in graph:
        for value in node.outputs:
            if value not in outputs and value.name in OUTPUTS:
                value.name = f"inner_{value.name}"
    for value, name in outputs.items():
        value.name = name


def load_onnx(path: Path, threads: int = 0) -> Program:
    """The program in an ONNX file, run by ONNX Runtime on the CPU; `threads` 0: its default."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return partial(_run_onnx, session)


def _run_onnx(session: Any, context: Float[Tensor, "batch context"]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(one) for one in session.run(None, {"context": context.numpy()}))


def _not_installed(error: ModuleNotFoundError) -> ExportError:
    return ExportError(
        f"ONNX needs the package {error.name!r}, which is not installed; "
        "pip install 'fewlayers[onnx]'"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside the context the exporters tell nothing of their own works."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    before = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, before, strict=True):
                one.setLevel(level)
