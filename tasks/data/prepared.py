"""From raw files to scaled, split series: what `prepare` writes and `fewlayers check` reports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from tasks.artifacts.data import ChannelProfile, Profile
from tasks.data.grid import SourceSeries
from tasks.data.profile import ADF_CHANNELS, channel_profile, dataset_profile
from tasks.data.scaling import Scaler, fit_scaler
from tasks.data.series import Series, SeriesSet, concatenate
from tasks.data.sources import Source, read_source
from tasks.data.splits import Bounds, check_fits, rows_needed, split_rows
from tasks.errors import DataError
from tasks.sections.data import Dataset, Windows

MAX_VANISHED_SHARE = 0.1
PADDING_KEPT = 8  # a corpus window shows at least so many values of its series
Part = tuple[str, Scaler, Float32[np.ndarray, " rows"], int]  # the last: rows before the range
HELD_OUT_EVERY, HELD_OUT_PLACE = 20, 10


@dataclass(frozen=True)
class Prepared:
    """A dataset ready for training; `test` is None for a collection."""

    history: SeriesSet
    test: SeriesSet | None
    profile: Profile


def prepare_dataset(path: Path, name: str, dataset: Dataset, windows: Windows) -> Prepared:
    """Reads, checks, splits and scales the raw files of a dataset.

    Args:
        path: data/raw/NAME/, or one file.
        name: of the dataset, for the profile.
        dataset: its section of params.yaml.
        windows: for the rows needed and the reach-back of the test range.

    Raises:
        DataError: the data cannot be accepted as they are, or are too short.
    """
    if dataset.kind == "collection":
        source = read_source(path, dataset, rows_needed=windows.context + windows.horizon)
        return _prepare_collection(name, source, windows)
    if dataset.kind == "joined":
        members = {
            member: prepare_dataset(path / member, member, entry, windows)
            for member, entry in dataset.members.items()
        }
        return _join(name, members, dataset.season)
    needed = rows_needed(dataset.split, windows)
    source = read_source(path, dataset, rows_needed=needed)
    where = str(path)
    bounds = _bounds(source, dataset, where)
    check_fits(bounds, dataset.split, windows, where)
    kept = _long_enough(source, bounds, windows, where)
    history, test = list[Part](), list[Part]()
    channels: list[ChannelProfile] = []
    for one in kept:
        train = rows_between(one, one.offset, bounds.train)
        scaler = fit_scaler(train)
        with_adf = len(channels) < ADF_CHANNELS
        channels.append(channel_profile(one, train, scaler, with_adf=with_adf))
        if scaler.is_constant:
            continue
        past = rows_between(one, one.offset, min(bounds.valid, one.offset + len(one.values)))
        last = max(bounds.valid, min(bounds.end, one.offset + len(one.values)))
        future = rows_between(one, bounds.valid - windows.context, last)
        history.append((one.name, scaler, scaler.scale(past), bounds.train - one.offset))
        test.append((one.name, scaler, scaler.scale(future), windows.context))
    _report_constant(channels, source, where)
    _check_observed(history, "validation", where)
    _check_observed(test, "test", where)
    profile = dataset_profile(name, source, bounds, channels)
    return Prepared(_joined(history), _joined(test), profile)


def audit(path: Path, name: str, dataset: Dataset, windows: Windows) -> Profile:
    """What `prepare` would find in these files; writes nothing. Raises DataError."""
    return prepare_dataset(path, name, dataset, windows).profile


def rows_between(one: SourceSeries, low: int, high: int) -> Float64[np.ndarray, " rows"]:
    """Rows [low, high) of the shared clock; missing where the series does not reach."""
    values = np.full(max(0, high - low), np.nan)
    first, last = max(low, one.offset), min(high, one.offset + len(one.values))
    if last > first:
        values[first - low : last - low] = one.values[first - one.offset : last - one.offset]
    return values


def _bounds(source: Source, dataset: Dataset, where: str) -> Bounds:
    try:
        return split_rows(source.rows, dataset.split)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _long_enough(
    source: Source, bounds: Bounds, windows: Windows, where: str
) -> list[SourceSeries]:
    """The series whose training range holds a window and a value; the others are dropped."""
    needed = windows.context + windows.horizon
    kept, short, empty = [], [], []
    for one in source.series:
        if min(one.offset + len(one.values), bounds.train) - one.offset < needed:
            short.append(one)
        elif np.isnan(rows_between(one, one.offset, bounds.train)).all():
            empty.append(one)
        else:
            kept.append(one)
    vanished = sum(len(one.values) for one in short)
    total = sum(len(one.values) for one in source.series)
    if not kept or vanished > MAX_VANISHED_SHARE * total:
        names = ", ".join(repr(one.name) for one in (short or empty)[:3])
        raise DataError(
            f"{where}: {len(short)} of {len(source.series)} series ({names}) have fewer than "
            f"{needed} training rows (windows.context + windows.horizon) or no value there; at "
            f"most {MAX_VANISHED_SHARE:.0%} of the rows may vanish, this would be "
            f"{vanished / total:.0%}; lower the windows, or leave the short series out"
        )
    findings = source.findings
    findings.dropped += [one.name for one in (*short, *empty)]
    if short:
        findings.warnings.append(
            f"{len(short)} series with fewer than {needed} training rows were dropped"
        )
    if empty:
        findings.warnings.append(
            f"{len(empty)} series without any value in the training range were dropped"
        )
    return kept


def _report_constant(channels: list[ChannelProfile], source: Source, where: str) -> None:
    constant = [one.name for one in channels if one.is_constant]
    if len(constant) == len(channels):
        raise DataError(
            f"{where}: every series is constant in the training range, there is nothing to learn; "
            "give data that vary"
        )
    if constant:
        shown = ", ".join(repr(name) for name in constant[:5])
        source.findings.warnings.append(
            f"{len(constant)} series are constant in the training range and have no scale; they "
            f"are left out of training and of all errors: {shown}"
        )
        source.findings.dropped.extend(constant)


def _check_observed(parts: Iterable[Part], what: str, where: str) -> None:
    """Raises DataError where no series has a value behind its first rows."""
    if not any(np.isfinite(values[first:]).any() for _, _, values, first in parts):
        raise DataError(
            f"{where}: no series has a value in the {what} range, so no error can be measured "
            "there; move its bounds by `split` in params.yaml, or give data that have values there"
        )


def _joined(parts: Iterable[Part]) -> SeriesSet:
    series: list[Series] = []
    arrays = []
    start = 0
    for name, scaler, values, train_end in parts:
        series.append(Series(name, start, len(values), train_end, scaler.mean, scaler.std))
        arrays.append(values)
        start += len(values)
    return SeriesSet(np.concatenate(arrays), tuple(series))


def _prepare_collection(name: str, source: Source, windows: Windows) -> Prepared:
    """Each series scaled by itself and padded; every 20th is held out for validation."""
    before = np.full(max(0, windows.context - PADDING_KEPT), np.nan, dtype=np.float32)
    after = np.full(max(0, windows.horizon - PADDING_KEPT), np.nan, dtype=np.float32)
    parts = []
    for index, one in enumerate(source.series):
        scaler = fit_scaler(one.values)
        values = np.concatenate([before, scaler.scale(one.values), after])
        is_held_out = index % HELD_OUT_EVERY == HELD_OUT_PLACE
        parts.append((one.name, scaler, values, 0 if is_held_out else len(values)))
    bounds = Bounds(source.rows, source.rows, source.rows)
    return Prepared(_joined(parts), None, dataset_profile(name, source, bounds, []))


def _join(name: str, members: Mapping[str, Prepared], season: int | None) -> Prepared:
    """Members as one dataset; their series are named MEMBER/SERIES and keep their own scales."""
    history = concatenate([_renamed(member, one.history) for member, one in members.items()])
    tests = [_renamed(member, one.test) for member, one in members.items() if one.test]
    profiles = {member: one.profile for member, one in members.items()}
    return Prepared(history, concatenate(tests), _joined_profile(name, profiles, season))


def _renamed(member: str, data: SeriesSet) -> SeriesSet:
    series = [replace(one, name=f"{member}/{one.name}") for one in data.series]
    return SeriesSet(data.values, tuple(series))


def _joined_profile(name: str, members: Mapping[str, Profile], season: int | None) -> Profile:
    """Counts added up; rows are those of the longest member."""
    parts = list(members.values())
    longest = max(parts, key=lambda one: one.rows)
    points = sum(one.num_points for one in parts)
    seasons = {member: one.season for member, one in members.items()}
    season = season or longest.season
    notes = [f"{member}: {text}" for member, one in members.items() for text in one.warnings]
    if set(seasons.values()) != {season}:
        shown = ", ".join(f"{member} {rows}" for member, rows in seasons.items())
        notes.append(f"seasonal naive and MASE use one season, {season} rows; seasons: {shown}")
    frequencies = {one.freq for one in parts}
    return Profile(
        dataset=name,
        kind="joined",
        files=[f"{member}/{file}" for member, one in members.items() for file in one.files],
        rows=longest.rows,
        channels=[
            channel.model_copy(update={"name": f"{member}/{channel.name}"})
            for member, one in members.items()
            for channel in one.channels
        ],
        num_series=sum(one.num_series for one in parts),
        num_points=points,
        freq=longest.freq if len(frequencies) == 1 else None,
        first=None,
        last=None,
        missing_share=sum(one.missing_share * one.num_points for one in parts) / points,
        gaps=sum(one.gaps for one in parts),
        duplicates_dropped=sum(one.duplicates_dropped for one in parts),
        fixed=[f"{member}: {text}" for member, one in members.items() for text in one.fixed],
        warnings=notes,
        dropped_series=[
            f"{member}/{series}" for member, one in members.items() for series in one.dropped_series
        ],
        season=season,
        train_rows=longest.train_rows,
        valid_rows=longest.valid_rows,
        test_rows=longest.test_rows,
        synthetic=all(one.synthetic for one in parts),
    )
