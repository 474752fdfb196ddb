"""Numbers as the report prints them: errors with four decimals, the rest with three digits."""

import math

ABSENT = "n/a"

SMALL, LARGE, MILLION, BILLION = 1e-3, 1e4, 1e6, 1e9
TWO_MINUTES, TWO_HOURS = 120, 7200


def format_error(value: float | None) -> str:
    """MSE, MAE and MASE: four decimals, or scientific where four decimals show nothing."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value != 0 and not SMALL <= abs(value) < LARGE:
        return f"{value:.2e}"
    return f"{value:.4f}"


def format_significant(value: float | None) -> str:
    """Three significant digits without an exponent between 0.001 and a million."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    if SMALL <= abs(rounded) < MILLION:
        return f"{rounded:,.{max(digits, 0)}f}"
    return f"{value:.2e}"


def format_percent(value: float | None, *, signed: bool = False) -> str:
    """A share as percent with one decimal, for example 0.0213 as 2.1 %."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{100 * value:{'+' if signed else ''}.1f}"
    return f"{'0.0' if text in {'-0.0', '+0.0'} else text} %"


def format_p_value(value: float) -> str:
    """A p-value with three decimals; below 0.001 as such."""
    return "< 0.001" if value < SMALL else f"{value:.3f}"


def format_count(value: int) -> str:
    """Parameters: 12,345 as 12.3 k, then M and B."""
    for bound, unit in ((BILLION, "B"), (MILLION, "M"), (1e3, "k")):
        if value >= bound:
            return f"{format_significant(value / bound)} {unit}"
    return str(value)


def format_bytes(value: int) -> str:
    """Memory in MB (10^6 bytes) or GB."""
    if value >= BILLION:
        return f"{format_significant(value / BILLION)} GB"
    return f"{format_significant(value / MILLION)} MB"


def format_seconds(value: float) -> str:
    """A duration: seconds below two minutes, then minutes, then hours."""
    if value < TWO_MINUTES:
        return f"{format_significant(value)} s"
    if value < TWO_HOURS:
        return f"{format_significant(value / 60)} min"
    return f"{format_significant(value / 3600)} h"
