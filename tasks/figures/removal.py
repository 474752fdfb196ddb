"""The removal loss broken down: along the horizon, by series, in calm and volatile windows."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from tasks.artifacts.scoring import ErrorParts
from tasks.figures import style
from tasks.figures.units import Units

MOST_SERIES = 24  # more names cannot be read
LONGEST_NAME = 18
SMALL = 0.01  # relative rises below this share a colour with 0, nearly
TICKS = (-1, -0.1, -0.01, 0, 0.01, 0.1, 1, 10)


def relative_rise(parts: ErrorParts) -> Float[np.ndarray, "blocks parts"]:
    """The removal loss over the full model's error of the same part; NaN where not defined."""
    full = np.asarray(parts.full, dtype=float)
    return np.asarray(parts.rise, dtype=float) / np.where(full > 0, full, np.nan)


def draw_steps(parts: ErrorParts, units: Units) -> Figure:
    """Rows are horizon steps, columns the skipped blocks."""
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        _heat(figure, axes, relative_rise(parts).T, units)
        axes.set_title("Removal loss by horizon step")
        axes.set_ylabel("step")
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda row, _: f"{row + 1:g}"))
    return figure


def draw_series(parts: ErrorParts, units: Units) -> Figure:
    """Rows are series, the one that a removed block hurts most on top; at most 24 of them."""
    rise = relative_rise(parts)
    worst = np.nan_to_num(rise, nan=-np.inf).max(0)
    shown = np.argsort(worst, kind="stable")[-MOST_SERIES:]
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        _heat(figure, axes, rise[:, shown].T, units)
        share = f" ({len(shown)} of {len(worst)})" if len(worst) > len(shown) else ""
        axes.set_title(f"by series{share}")
        axes.yaxis.set_major_locator(FixedLocator(range(len(shown))))
        axes.set_yticklabels([_short(parts.names[place]) for place in shown], fontsize=7)
    return figure


def draw_volatility(parts: ErrorParts, units: Units) -> Figure:
    """Two bars for every skipped block: windows with a calm and with a volatile context."""
    rise = relative_rise(parts)
    blocks = np.arange(len(rise))
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        for place, (name, colour) in enumerate(
            zip(parts.names, (style.PASSIVE, style.SCRATCH), strict=True)
        ):
            values = 100 * np.nan_to_num(rise[:, place])
            axes.bar(blocks + 0.4 * place - 0.2, values, width=0.4, color=colour, label=name)
        axes.set_yscale("symlog", linthresh=100 * SMALL)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.axhline(0, color=style.LINE, lw=0.8)
        axes.set_title("by kind of context")
        units.set_ticks(axes, label="block skipped", most=8)
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best")
    return figure


def _heat(
    figure: Figure, axes: Axes, values: Float[np.ndarray, "rows blocks"], units: Units
) -> None:
    """Blue where the error falls, red where it rises; logarithmic beyond 1 %."""
    known = np.abs(values[np.isfinite(values)])
    limit = max(SMALL, float(known.max()) if known.size else 0.0)
    norm = SymLogNorm(linthresh=SMALL, vmin=-limit, vmax=limit)
    image = axes.imshow(
        values, cmap="RdBu_r", norm=norm, aspect="auto", origin="lower", interpolation="nearest"
    )
    ticks = [tick for tick in TICKS if abs(tick) <= limit]
    bar = figure.colorbar(image, ax=axes, shrink=0.9, ticks=ticks)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    bar.ax.minorticks_off()
    units.set_ticks(axes, label="block skipped", most=8)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\u2026"
