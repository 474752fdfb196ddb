"""Batch forecasts of a data file by a model folder, full or pruned.

The file is read as `fewlayers check` reads it. Series keep their own scale: every family normalises
by the context itself, so no scaler is stored, and forecasts come back on the scale of the data.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.files import write_atomically
from tasks.data.frequency import Frequency, is_month_end, parse_frequency
from tasks.data.grid import SourceSeries
from tasks.data.sources import Source, read_source
from tasks.errors import CheckpointError, DataError, ParamsError
from tasks.models.base import ForecastModel
from tasks.models.interface import Forecast
from tasks.models.registry import load_model
from tasks.runtime import Progress, pick_device
from tasks.sections.data import Dataset

LEVELS = tuple(number / 10 for number in range(1, 10))
MIN_OBSERVED = 16  # values; a forecast from fewer says nothing
NAMED_SERIES = 3
ENDINGS = (".csv", ".csv.gz", ".parquet")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to forecast.

    Attributes:
        horizon: rows ahead; None: as the model was trained to.
        context: values that the model sees; None: as it was trained with.
        batch_size: series at once.
        device: auto, cpu or cuda.
        skip_short: leave out series that are too short, instead of an error.
    """

    horizon: int | None = None
    context: int | None = None
    batch_size: int = 256
    device: str = "auto"
    skip_short: bool = False


@dataclass(frozen=True, kw_only=True)
class Forecasted:
    """What was written."""

    path: Path
    series: int
    skipped: list[str]
    horizon: int
    freq: str
    levels: list[float]


def forecast_file(
    folder: Path, data: Path, dataset: Dataset, out: Path, settings: Settings
) -> Forecasted:
    """Forecasts every series of a file and writes them in long format.

    Columns: unique_id, ds, mean and, where the model has them, 0.1 ... 0.9. Times are in UTC where
    the file's have offsets, or where a time zone is named and they are not daily.

    Args:
        folder: of the model.
        data: a wide or long file.
        dataset: how to read it.
        out: a CSV or parquet file, replaced in one step.
        settings: horizon, batches, device.

    Raises:
        CheckpointError: the folder is no model, or a forecast is not finite.
        DataError: the data cannot be accepted, have no plain frequency, or are too short.
        ParamsError: an option breaks a rule.
    """
    check_out(out, data)
    if dataset.kind not in {"wide", "long"}:
        raise ParamsError(f"--kind: forecasts need wide or long data; got {dataset.kind!r}")
    device = pick_device(settings.device)
    model = load_model(folder, device)
    horizon = settings.horizon or int(model.config.horizon)
    context = settings.context or int(model.config.context)
    source = read_source(data, dataset, rows_needed=MIN_OBSERVED)
    frequency = _frequency(source, data)
    series, skipped = _long_enough(source, data, context, skip=settings.skip_short)
    is_end = all(one.last is not None and is_month_end(one.last) for one in source.series)
    parts: list[pd.DataFrame] = []
    levels: list[float] = []
    with Progress(f"forecast {data.name}", len(series)) as progress:
        done = 0
        for batch in _batches(series, settings.batch_size):
            found = _forecast(model, contexts_of(batch, context).to(device), horizon)
            levels = [level for level in LEVELS if level in (found.quantiles or {})]
            parts += [
                _rows(one, place, found, levels, _times(one, frequency, horizon, is_end=is_end))
                for place, one in enumerate(batch)
            ]
            done += len(batch)
            progress.update(done)
    _write(pd.concat(parts, ignore_index=True), out)
    return Forecasted(
        path=out,
        series=len(series),
        skipped=skipped,
        horizon=horizon,
        freq=frequency.alias,
        levels=levels,
    )


def check_out(out: Path, data: Path) -> None:
    """Raises ParamsError unless forecasts can be written there."""
    if not out.name.endswith(ENDINGS):
        raise ParamsError(f"--out: must end in {', '.join(ENDINGS)}; got {out.name!r}")
    if out.resolve() == data.resolve():
        raise ParamsError(f"--out: {out} is the data file itself; name another file")


def contexts_of(series: Sequence[SourceSeries], context: int) -> Float[Tensor, "batch context"]:
    """The last values of each series; shorter ones are padded on the left as missing."""
    batch = np.full((len(series), context), np.nan, dtype=np.float32)
    for row, one in zip(batch, series, strict=True):
        known = one.values[-context:]
        row[len(row) - len(known) :] = known
    return torch.from_numpy(batch)


def _frequency(source: Source, data: Path) -> Frequency:
    if source.freq is None:
        raise DataError(
            f"{data}: the time stamps follow no frequency from one minute to one year, so the "
            "future ones are unknown; give --freq"
        )
    return parse_frequency(source.freq)


def _long_enough(
    source: Source, data: Path, context: int, *, skip: bool
) -> tuple[list[SourceSeries], list[str]]:
    needed = min(MIN_OBSERVED, context)

    def observed(one: SourceSeries) -> int:
        return int(np.isfinite(one.values[-context:]).sum())

    short = [one.name for one in source.series if observed(one) < needed]
    kept = [one for one in source.series if observed(one) >= needed]
    names = ", ".join(map(repr, short[:NAMED_SERIES])) + (", ..." if len(short) > 3 else "")
    if short and (not kept or not skip):
        raise DataError(
            f"{data}: {len(short)} of {len(source.series)} series ({names}) have fewer than "
            f"{needed} values in their last {context} rows; leave them out"
            f"{' with --skip-short' if kept else ', or give more rows'}"
        )
    return kept, short


def _batches(series: list[SourceSeries], size: int) -> Iterator[list[SourceSeries]]:
    for start in range(0, len(series), size):
        yield series[start : start + size]


@torch.inference_mode()
def _forecast(
    model: ForecastModel, context: Float[Tensor, "batch context"], horizon: int
) -> Forecast:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # families that draw samples give the same forecast again
        found = model.forecast(context, horizon)
    if not bool(torch.isfinite(found.mean).all()):
        raise CheckpointError(f"{model.label}: a forecast is not finite; train the model again")
    return Forecast(
        found.mean.float().cpu(),
        {round(level, 6): values.float().cpu() for level, values in found.quantiles.items()}
        if found.quantiles
        else None,
    )


def _times(
    one: SourceSeries, frequency: Frequency, horizon: int, *, is_end: bool
) -> pd.DatetimeIndex:
    assert one.last is not None
    return pd.DatetimeIndex(frequency.after(one.last, horizon, is_end=is_end))


def _rows(
    one: SourceSeries, place: int, found: Forecast, levels: list[float], times: pd.DatetimeIndex
) -> pd.DataFrame:
    columns = {"unique_id": one.name, "ds": times, "mean": found.mean[place].numpy()}
    for level in levels:
        assert found.quantiles is not None
        columns[f"{level:g}"] = found.quantiles[level][place].numpy()
    return pd.DataFrame(columns)


def _write(frame: pd.DataFrame, out: Path) -> None:
    def write(path: Path) -> None:
        if out.suffix == ".parquet":
            frame.to_parquet(path, compression="zstd", index=False)
        else:
            frame.to_csv(path, index=False, compression="gzip" if out.suffix == ".gz" else None)

    write_atomically(out, write)
