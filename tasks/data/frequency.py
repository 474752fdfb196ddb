"""Frequencies from one minute to one year: naming, inferring, and placing times on their grid."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

from tasks.data.times import Times
from tasks.errors import DataError

MINUTE = np.timedelta64(60_000_000, "us")
DAY_MINUTES = 1440
MIN_STEP_SHARE = 1 / 3
ALIASES: dict[str, tuple[Literal["minutes", "business", "months"], int]] = {
    "min": ("minutes", 1), "T": ("minutes", 1), "h": ("minutes", 60), "H": ("minutes", 60),
    "D": ("minutes", DAY_MINUTES), "W": ("minutes", 7 * DAY_MINUTES), "B": ("business", 1),
    "M": ("months", 1), "MS": ("months", 1), "ME": ("months", 1),
    "Q": ("months", 3), "QS": ("months", 3), "QE": ("months", 3),
    "Y": ("months", 12), "A": ("months", 12), "YS": ("months", 12), "YE": ("months", 12),
}  # fmt: skip


@dataclass(frozen=True)
class Frequency:
    """The distance between rows: so many minutes, business days or months."""

    unit: Literal["minutes", "business", "months"]
    count: int

    @property
    def alias(self) -> str:
        """The pandas alias: 15min, h, D, B, W, MS, QS, YS or a multiple."""
        scales: dict[str, tuple[tuple[int, str], ...]] = {
            "minutes": ((7 * DAY_MINUTES, "W"), (DAY_MINUTES, "D"), (60, "h"), (1, "min")),
            "business": ((1, "B"),),
            "months": ((12, "YS"), (3, "QS"), (1, "MS")),
        }
        step, name = next(one for one in scales[self.unit] if self.count % one[0] == 0)
        multiple = self.count // step
        return name if multiple == 1 else f"{multiple}{name}"

    @property
    def season(self) -> int:
        """Rows per season: of a day below daily, else of a week or a year; 1 where none fits."""
        cycle = {
            "minutes": DAY_MINUTES if self.count < DAY_MINUTES else 7 * DAY_MINUTES,
            "business": 5,
            "months": 12,
        }[self.unit]
        if self.unit == "minutes" and self.count == 7 * DAY_MINUTES:
            return 52
        return cycle // self.count if cycle % self.count == 0 else 1

    def positions(
        self, times: Times, origin: np.datetime64
    ) -> tuple[Int64[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
        """Grid steps from `origin` to each of the sorted times, and which lie on the grid."""
        if self.unit == "minutes":
            step = self.count * MINUTE
            steps = (times - origin) // step
            return steps.astype(np.int64), (times - times[:1]) % step == np.timedelta64(0, "us")
        days = times.astype("datetime64[D]")
        clock = times - days
        same_clock = clock == clock[:1]
        if self.unit == "business":
            steps = np.busday_count(origin.astype("datetime64[D]"), days)
            return steps.astype(np.int64), np.is_busday(days) & same_clock
        months = days.astype("datetime64[M]")
        day = days - months
        is_end = (days + 1).astype("datetime64[M]") > months
        distance = (months - origin.astype("datetime64[M]")).astype(np.int64)
        from_first = (months - months[:1]).astype(np.int64)
        same_day = (day == day[:1]) | (np.full(len(days), is_end.all()))
        return distance // self.count, same_day & same_clock & (from_first % self.count == 0)

    def after(self, last: np.datetime64, steps: int, *, is_end: bool) -> Times:
        """The times of the next `steps` rows.

        Args:
            last: time of the last row.
            steps: how many.
            is_end: of months, whether rows stand on the last day of each.
        """
        ahead = np.arange(1, steps + 1)
        last = last.astype("datetime64[us]")
        if self.unit == "minutes":
            return np.asarray(last + ahead * self.count * MINUTE)
        day = last.astype("datetime64[D]")
        clock = last - day
        if self.unit == "business":
            days = np.busday_offset(day, ahead, roll="backward")
            return np.asarray(days.astype("datetime64[us]") + clock)
        month = day.astype("datetime64[M]")
        months = month + ahead * self.count
        lengths = (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")
        longest = lengths - np.timedelta64(1, "D")
        within = longest if is_end else np.minimum(day - month.astype("datetime64[D]"), longest)
        days = months.astype("datetime64[D]") + within
        return np.asarray(days.astype("datetime64[us]") + clock)


def is_month_end(time: np.datetime64) -> bool:
    """Whether a time lies on the last day of its month."""
    day = time.astype("datetime64[D]")
    return bool((day + 1).astype("datetime64[M]") > day.astype("datetime64[M]"))


def parse_frequency(text: str) -> Frequency:
    """The frequency that a pandas alias names.

    Raises:
        DataError: not an alias from one minute to one year.
    """
    found = re.fullmatch(r"(\d*)(min|s|[A-Za-z]{1,2})(-[A-Z]{3})?", text.strip())
    count = int(found[1] or 1) if found else 0
    if found and found[2] in ("s", "S") and count and count % 60 == 0:
        return Frequency("minutes", count // 60)
    if not found or found[2] not in ALIASES or not count:
        raise DataError(
            f"freq {text!r} is not known; use 15min, h, D, B, W, MS, QS, YS or a multiple of one"
        )
    unit, step = ALIASES[found[2]]
    frequency = Frequency(unit, step * count)
    longest = {"minutes": 366 * DAY_MINUTES, "business": 1, "months": 12}[unit]
    if frequency.count > longest:
        raise DataError(f"freq {text!r} must lie between one minute and one year")
    return frequency


def infer_frequency(times: Times) -> Frequency | None:
    """The frequency of sorted, distinct times by their most common step; None: none is plain."""
    if len(times) < 3:
        return None
    steps, counts = np.unique(np.diff(times), return_counts=True)
    most = int(np.argmax(counts))
    step = steps[most]
    if step < MINUTE or step % MINUTE != np.timedelta64(0, "us"):
        return None
    minutes = int(step // MINUTE)
    if minutes >= 28 * DAY_MINUTES:
        found = _infer_months(times)
        if found is not None:
            return found
    if minutes == DAY_MINUTES and _is_business(times):
        return Frequency("business", 1)
    is_common = counts[most] >= MIN_STEP_SHARE * (len(times) - 1)
    return Frequency("minutes", minutes) if is_common and minutes <= 366 * DAY_MINUTES else None


def _infer_months(times: Times) -> Frequency | None:
    months = np.diff(times.astype("datetime64[M]")).astype(np.int64)
    values, counts = np.unique(months, return_counts=True)
    count = int(values[np.argmax(counts)])
    if not 1 <= count <= 12:
        return None
    found = Frequency("months", count)
    return found if found.positions(times, times[0])[1].all() else None


def _is_business(times: Times) -> bool:
    """True for two weeks or more without a weekend."""
    days = times.astype("datetime64[D]")
    return bool(np.is_busday(days).all()) and days[-1] - days[0] >= np.timedelta64(14, "D")


def looks_like_skipped_hour(missing: Times) -> bool:
    """True when the missing times are one hour of the night in which clocks go forward.

    That is 1 to 3 o'clock on the last Sunday (Europe) or second Sunday (America) of March.
    """
    if not len(missing):
        return False
    days = missing.astype("datetime64[D]")
    hours = (missing - days) // np.timedelta64(1, "h")
    day = days[0]
    month = day.astype("datetime64[M]")
    of_month = int((day - month.astype("datetime64[D]")).astype(np.int64)) + 1
    is_sunday = int(day.astype(np.int64)) % 7 == 3  # 1970-01-01 was a Thursday
    is_march = int(month.astype(np.int64)) % 12 == 2
    is_night = len(set(days)) == 1 and len(set(hours)) == 1 and int(hours[0]) in (1, 2)
    return bool(is_march and is_sunday and is_night and (of_month > 24 or 8 <= of_month <= 14))
