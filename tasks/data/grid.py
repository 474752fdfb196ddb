"""Rows in order on a regular clock: duplicates, gaps, frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from tasks.data.frequency import (
    Frequency,
    infer_frequency,
    looks_like_skipped_hour,
    parse_frequency,
)
from tasks.data.order import Reading, Rows
from tasks.data.times import Times
from tasks.errors import DataError

MAX_GAP_SHARE = 0.5
NAMED_SERIES = 3


@dataclass(frozen=True)
class SourceSeries:
    """One channel or series: `values[i]` stands at row `offset + i` of the shared clock.

    `last` is the time of its last row; of a collection it is not known.
    """

    name: str
    offset: int
    values: Float64[np.ndarray, " rows"]
    last: np.datetime64 | None = None


@dataclass(frozen=True)
class Grid:
    """The series on the shared clock of `rows` steps."""

    series: list[SourceSeries]
    rows: int
    freq: str | None
    season: int


def place_on_grid(reading: Reading, rows: Rows, names: Sequence[str]) -> Grid:
    """Every series on the regular grid of its frequency, gaps as missing values.

    Raises:
        DataError: no plain frequency, different frequencies, a frequency other than the one
            named, rows off the grid, or more than half of the grid missing.
    """
    if reading.dataset.irregular == "as_rows":
        return _as_rows(reading, rows, names)
    where, is_wide = reading.table.where, reading.dataset.kind == "wide"
    frequency = _frequency(reading, rows, names)
    origin = rows.times.min()
    series: list[SourceSeries] = []
    filled = inserted = 0
    for index in range(len(rows.bounds) - 1):
        part = slice(int(rows.bounds[index]), int(rows.bounds[index + 1]))
        times = rows.times[part]
        steps, on_grid = frequency.positions(times, origin)
        if not on_grid.all():
            series_name = "" if is_wide else f", series {names[index]!r}"
            raise _off_grid(reading, times, on_grid, frequency, f"{where}{series_name}")
        offset, length = int(steps[0]), int(steps[-1] - steps[0]) + 1
        if length > len(times) and reading.zone_is_open:
            _refuse_skipped_hour(times, frequency, where)
        inserted += length - len(times)
        filled += length
        if filled > 100 * len(rows.times) + 1_000_000:
            break
        block = np.full((length, rows.values.shape[1]), np.nan)
        block[steps - offset] = rows.values[part]
        own = names if is_wide else [names[index]]
        series += [SourceSeries(name, offset, block[:, i], times[-1]) for i, name in enumerate(own)]
    if inserted > MAX_GAP_SHARE * filled:
        given = infer_frequency(_longest(rows))
        hint = f" (most rows are {given.alias} apart)" if given and given != frequency else ""
        raise DataError(
            f"{where}: {inserted / filled:.0%} of the rows of a regular {frequency.alias} grid are "
            f"missing{hint}, at most {MAX_GAP_SHARE:.0%} may be; set the right `freq`, or "
            "`irregular: as_rows`"
        )
    if inserted:
        reading.findings.gaps = inserted
        reading.findings.fixed.append(f"{inserted} missing time stamps were put in as missing rows")
    length = max(one.offset + len(one.values) for one in series)
    return Grid(series, length, frequency.alias, frequency.season)


def _longest(rows: Rows) -> Times:
    index = int(np.argmax(np.diff(rows.bounds)))
    return rows.times[rows.bounds[index] : rows.bounds[index + 1]]


def _frequency(reading: Reading, rows: Rows, names: Sequence[str]) -> Frequency:
    """The one frequency of all series: the named one, or the inferred one."""
    where = reading.table.where
    if reading.dataset.freq is not None:
        return parse_frequency(reading.dataset.freq)
    groups: dict[Frequency, list[int]] = {}
    for index in range(len(rows.bounds) - 1):
        times = rows.times[rows.bounds[index] : rows.bounds[index + 1]]
        found = infer_frequency(times)
        if found is not None:
            groups.setdefault(found, []).append(index)
    if not groups:
        raise DataError(
            f"{where}: the time stamps follow no frequency from one minute to one year; set "
            "`freq`, or `irregular: as_rows` to use the rows as they are"
        )
    if len(groups) > 1 and not _same_in_substance(groups, rows):
        shown = "; ".join(
            f"{one.alias}: {len(members)} series ({', '.join(_named(names, members))})"
            for one, members in groups.items()
        )
        raise DataError(
            f"{where}: all series must have one frequency; got {shown}; give each its own dataset"
        )
    return max(groups, key=lambda one: len(groups[one]))


def _same_in_substance(groups: dict[Frequency, list[int]], rows: Rows) -> bool:
    """True when the odd series are short ones with too few rows to tell."""
    most = max(groups, key=lambda one: len(groups[one]))
    odd = [index for one, members in groups.items() if one != most for index in members]
    return all(rows.bounds[i + 1] - rows.bounds[i] < 8 for i in odd)


def _named(names: Sequence[str], members: Sequence[int]) -> list[str]:
    shown = [repr(names[index]) for index in members[:NAMED_SERIES]]
    return [*shown, "..."] if len(members) > NAMED_SERIES else shown


def _off_grid(
    reading: Reading,
    times: Times,
    on_grid: Bool[np.ndarray, " rows"],
    frequency: Frequency,
    where: str,
) -> DataError:
    row, given = int(np.argmin(on_grid)), reading.dataset.freq
    rule = (
        f"rows must follow `freq: {given}`"
        if given
        else f"rows are irregular (most are {frequency.alias} apart)"
    )
    found = infer_frequency(times)
    hint = f", most rows are {found.alias} apart" if given and found else ""
    return DataError(
        f"{where}: {rule}; {times[row]} does not ({int((~on_grid).sum())} of {len(times)} "
        f"rows do not{hint}); set the right `freq`, round the times, or set `irregular: as_rows`"
    )


def _refuse_skipped_hour(times: Times, frequency: Frequency, where: str) -> None:
    if frequency.unit != "minutes" or frequency.count > 60:
        return
    step = np.timedelta64(frequency.count * 60_000_000, "us")
    hour = np.timedelta64(1, "h")
    for place in np.flatnonzero(np.diff(times) == step + hour):
        missing = np.arange(times[place] + step, times[place + 1], step)
        if looks_like_skipped_hour(missing):
            raise DataError(
                f"{where}: the hour from {missing[0]} is not there, as where clocks go forward; "
                "set `time_zone` to the zone of these times (UTC if the hour is really missing)"
            )


def _as_rows(reading: Reading, rows: Rows, names: Sequence[str]) -> Grid:
    """The rows as they are, one after the other, whatever their times."""
    dataset = reading.dataset
    if dataset.kind != "wide":
        raise DataError(
            f"{reading.table.where}: `irregular: as_rows` needs `kind: wide`, where all channels "
            "share the rows; set `freq` for long data"
        )
    given = parse_frequency(dataset.freq) if dataset.freq else None
    frequency = given or infer_frequency(np.unique(rows.times))
    last = rows.times[-1]
    series = [SourceSeries(name, 0, rows.values[:, i].copy(), last) for i, name in enumerate(names)]
    if frequency is not None and frequency.unit == "minutes":
        step = np.timedelta64(frequency.count * 60_000_000, "us")
        odd = int((np.diff(rows.times) > step).sum())
        if odd:
            reading.findings.warnings.append(f"{odd} gaps between rows were left as they are")
    alias, season = (frequency.alias, frequency.season) if frequency else (None, 1)
    return Grid(series, len(rows.times), alias, season)
