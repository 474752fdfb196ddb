"""Time stamps, read strictly: year first, or the format or unit that the dataset names."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64

from tasks.data.table import Table
from tasks.errors import DataError
from tasks.sections.data import Dataset

Times = np.ndarray[Any, np.dtype[np.datetime64]]

FIRST_YEAR, LAST_YEAR = 1700, 2200
UNITS = {"s": 1_000_000, "ms": 1000, "us": 1}
YEAR_FIRST = (
    r"^(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2})"
    r"(?:[ T](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"\s?(?P<zone>Z|[+-]\d{2}:?\d{2})?)?)?$"
)


@dataclass(frozen=True)
class Clock:
    """Time stamps as read: in UTC where they carried an offset, else on the local clock."""

    times: Times  # datetime64[us]
    is_aware: bool
    offsets: int  # how many different UTC offsets were met


def read_times(table: Table, name: str, dataset: Dataset) -> Clock:
    """The time column.

    Raises:
        DataError: blank, impossible, out of range, of unknown order or unit, or naive times mixed
            with aware ones.
    """
    column = table.columns[name]
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _typed(table, name, column)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        column = column.cast(pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(
            f"{table.where}, column {name!r}: must hold time stamps; it holds {column.type}; name "
            "the time column with `time_column`"
        )
    coded = pc.dictionary_encode(pc.fill_null(column, "")).combine_chunks()
    coded = coded.chunk(0) if isinstance(coded, pa.ChunkedArray) else coded
    codes = coded.indices.to_numpy()
    texts = pc.utf8_trim_whitespace(coded.dictionary)
    if dataset.time_unit is not None:
        times, good = _from_epoch(texts, dataset.time_unit)
        aware, offsets = np.ones(len(times), dtype=bool), 1
    elif dataset.time_format is not None:
        times, good = _from_format(texts, dataset.time_format)
        aware, offsets = np.full(len(times), "%z" in dataset.time_format), 1
    else:
        times, good, aware, offsets = _from_year_first(texts)
    in_range = _in_range(times)
    if not (good & in_range).all():
        place = int(np.argmax(~(good & in_range)[codes]))
        text = texts[int(codes[place])].as_py()
        reason = _reason(text, bool(good[codes[place]]), dataset)
        raise DataError(f"{table.place(place)}, column {name!r}: {reason}; got {text!r}")
    if aware.any() and not aware.all():
        first = aware[codes[0]] if len(codes) else False
        place = int(np.argmax(aware[codes] != first))
        raise DataError(
            f"{table.place(place)}, column {name!r}: times with and without a UTC offset are "
            f"mixed; got {texts[int(codes[place])].as_py()!r}; write all of them in one way"
        )
    return Clock(times[codes], bool(aware.any()), offsets)


def _in_range(times: Times) -> Bool[np.ndarray, " rows"]:
    low, high = np.datetime64(f"{FIRST_YEAR}-01-01"), np.datetime64(f"{LAST_YEAR + 1}-01-01")
    return (times >= low) & (times < high)  # NaT compares false


def _typed(table: Table, name: str, column: pa.ChunkedArray) -> Clock:
    """A stored timestamp or date column; Arrow keeps aware ones in UTC."""
    is_aware = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null())))
        raise DataError(f"{table.place(row)}, column {name!r}: the time is blank; remove the row")
    plain = column.cast(pa.timestamp("us", tz="UTC" if is_aware else None), safe=False)
    times = np.asarray(plain.cast(pa.int64())).astype("datetime64[us]")
    outside = ~_in_range(times)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"{table.place(row)}, column {name!r}: must lie in the years {FIRST_YEAR} to "
            f"{LAST_YEAR}; got {times[row]}; correct the date"
        )
    return Clock(times, is_aware, 1)


def _from_epoch(texts: pa.StringArray, unit: str) -> tuple[Times, Bool[np.ndarray, " texts"]]:
    good = np.asarray(
        pc.match_substring_regex(texts, r"^-?\d{1,19}(\.0*)?$").to_pylist(), dtype=bool
    )
    cleaned = pc.replace_substring_regex(texts, r"\.0*$", "")
    numbers = [int(text) if ok else 0 for text, ok in zip(cleaned.to_pylist(), good, strict=True)]
    limit = 2**62
    micros = [
        n // 1000 if unit == "ns" else max(-limit, min(limit, n * UNITS[unit])) for n in numbers
    ]
    return np.array(micros, dtype=np.int64).astype("datetime64[us]"), good


def _from_format(texts: pa.StringArray, form: str) -> tuple[Times, Bool[np.ndarray, " texts"]]:
    series = pd.Series(texts.to_pylist(), dtype="str")
    try:
        parsed = pd.to_datetime(series, format=form, errors="coerce", utc="%z" in form)
    except ValueError as error:
        raise DataError(f"time_format {form!r} is not valid: {error}; correct it") from error
    if parsed.dt.tz is not None:
        parsed = parsed.dt.tz_convert(None)
    times = parsed.to_numpy().astype("datetime64[us]")
    return times, ~np.isnat(times)


def _from_year_first(
    texts: pa.StringArray,
) -> tuple[Times, Bool[np.ndarray, " texts"], Bool[np.ndarray, " texts"], int]:
    """Year-first dates with or without time and offset: times, which are possible, which aware."""
    parts = pc.extract_regex(texts, pattern=YEAR_FIRST)
    good = np.asarray(parts.is_valid())

    def number(name: str, default: int) -> np.ndarray:
        text = pc.struct_field(parts, name)
        filled = pc.if_else(pc.equal(text, ""), str(default), text)
        return np.asarray(pc.fill_null(filled, str(default)).cast(pa.int64()))

    year, month, day = number("year", 0), number("month", 1), number("day", 1)
    hour, minute, second = number("hour", 0), number("minute", 0), number("second", 0)
    fraction = pc.utf8_slice_codeunits(
        pc.utf8_rpad(pc.fill_null(pc.struct_field(parts, "part"), ""), 6, "0"), 0, 6
    )
    micros = np.asarray(fraction.cast(pa.int64()))
    good &= (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    months = ((np.where(good, year, 1970) - 1970) * 12 + np.where(good, month, 1) - 1).astype(
        "datetime64[M]"
    )
    days = months.astype("datetime64[D]") + (day - 1)
    good &= days.astype("datetime64[M]") == months
    seconds = hour * 3600 + minute * 60 + second
    times = days.astype("datetime64[us]") + seconds * 1_000_000 + micros
    zone = pc.fill_null(pc.struct_field(parts, "zone"), "")
    aware = np.asarray(pc.not_equal(zone, ""))
    offsets = {text: _offset_micros(text) for text in pc.unique(zone).to_pylist() if text}
    for text, shift in offsets.items():
        times[np.asarray(pc.equal(zone, text))] -= np.timedelta64(shift, "us")
    return times, good, aware, len(set(offsets.values()))


def _offset_micros(text: str) -> int:
    if text == "Z":
        return 0
    digits = text[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return (-minutes if text[0] == "-" else minutes) * 60_000_000


def _reason(text: str, is_readable: bool, dataset: Dataset) -> str:
    """Why a time stamp was refused, and what would read it."""
    if not text:
        return "the time is blank; remove the row"
    if is_readable:
        return f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}; correct it or the time unit"
    if dataset.time_unit is not None:
        return "must be a whole number, as `time_unit` says"
    if dataset.time_format is not None:
        return f"does not fit `time_format: {dataset.time_format!r}`, or is no possible date"
    if re.fullmatch(r"-?\d+(\.\d*)?", text):
        return "a number is no date; set `time_unit` (s, ms, us, ns) or `time_format` ('%Y')"
    if re.match(r"\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}", text):
        return (
            "which comes first, day or month? set `time_format`, for example '%d/%m/%Y' or "
            "'%m/%d/%Y %H:%M'"
        )
    if re.match(YEAR_FIRST.rstrip("$"), text):
        return "there is no such date or time; correct it"
    return "must be a date such as 2024-01-31 23:00:00; set `time_format` for another form"


def to_utc(clock: Clock, zone: str, codes: Int64[np.ndarray, " rows"], *, where: str) -> Times:
    """Times of a dataset that names its time zone: UTC, or the local date for daily and coarser.

    Args:
        clock: the times as read.
        zone: an IANA name such as Europe/Berlin.
        codes: the series of each row; within a series, rows are in the order of the file.
        where: the file, for messages.

    Raises:
        DataError: unknown zone, or a local time that it skips or repeats without order.
    """
    try:
        local = pd.DatetimeIndex(clock.times)
        if clock.is_aware:
            wall = local.tz_localize("UTC").tz_convert(zone).tz_localize(None)
            return _micros(wall) if _is_daily(wall) else clock.times
        if _is_daily(local):
            return clock.times
        utc = np.empty(len(local), dtype="datetime64[us]")
        for code in np.unique(codes):
            chosen = codes == code
            aware = local[chosen].tz_localize(zone, ambiguous="infer", nonexistent="raise")
            utc[chosen] = _micros(aware.tz_convert(None))
    except (ValueError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"{where}: times do not fit `time_zone: {zone}` ({reason}); correct them, or name "
            "another zone"
        ) from error
    return utc


def _micros(index: pd.DatetimeIndex) -> Times:
    return index.to_numpy().astype("datetime64[us]")


def _is_daily(index: pd.DatetimeIndex) -> bool:
    return len(set(zip(index.hour, index.minute, index.second, strict=True))) <= 1
