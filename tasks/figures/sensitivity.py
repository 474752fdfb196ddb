"""Tables of how the scores move: with the calibration windows, and with their own options."""

from collections.abc import Sequence

from tasks.artifacts.scoring import CalibrationSensitivity, CalibrationSetting, OptionChange
from tasks.figures.numbers import ABSENT
from tasks.figures.tables import Table
from tasks.figures.units import Units


def few_against_many(settings: Sequence[CalibrationSetting]) -> list[tuple[int, int]]:
    """The places of the fewest and of the most windows of every draw; the run's own is left out."""
    pairs: list[tuple[int, int]] = []
    for draw in dict.fromkeys(one.draw for one in settings[1:]):
        same = [place for place, one in enumerate(settings) if place and one.draw == draw]
        few = min(same, key=lambda place: settings[place].windows)
        many = max(same, key=lambda place: settings[place].windows)
        if settings[few].windows < settings[many].windows:
            pairs.append((few, many))
    return pairs


def calibration_table(sensitivity: CalibrationSensitivity) -> Table:
    """Kendall's tau of every score between draws of windows.

    The run's own windows against every other draw, then few windows against many of one draw.
    """
    settings, agreement = sensitivity.settings, sensitivity.agreement
    pairs = [(0, other) for other in range(1, len(settings))] + few_against_many(settings)
    rows = [
        [
            f"{_told(settings[a])}{' (this run)' if a == 0 else ''} against {_told(settings[b])}",
            *(_tau(table[a][b]) for table in agreement.values()),
        ]
        for a, b in pairs
    ]
    return Table(headers=["windows", *(name.replace("_", " ") for name in agreement)], rows=rows)


def option_table(changes: list[OptionChange], units: Units) -> Table:
    """What each option of `few_layer`, changed alone, does to order and automatic count."""
    rows = [
        [
            change.option,
            ", ".join(change.value) or "none"
            if isinstance(change.value, list)
            else str(change.value),
            _tau(change.agreement),
            str(change.count),
            units.names(change.keep),
        ]
        for change in changes
    ]
    marked = frozenset(place for place, change in enumerate(changes) if change.is_own)
    headers = ["option", "value", "Kendall's tau", "automatic count", units.told("its blocks")]
    return Table(headers=headers, rows=rows, numeric_from=2, marked=marked)


def _told(setting: CalibrationSetting) -> str:
    return f"{setting.windows:,} {setting.draw}"


def _tau(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"
