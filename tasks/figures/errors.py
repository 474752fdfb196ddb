"""Errors on the test range: per horizon step, the null panel, and sample forecasts."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.figures import style
from tasks.figures.cost import FAR, colour_of, reference_name
from tasks.figures.inputs import Pair, SampleForecast
from tasks.figures.numbers import format_error
from tasks.figures.summary import named_controls

TITLE_LENGTH = 50


def draw_horizon(pair: Pair) -> Figure:
    """Test MSE per step of the horizon: full against pruned, the controls faint behind."""
    table = pair.per_step
    with style.styled():
        figure, (axes,) = style.new_figure(width=5.6, height=3.4)
        for name in [column for column in table.columns if column.startswith("random")]:
            axes.plot(table["step"], table[name], color=style.RANDOM, lw=0.8, alpha=0.45)
        if "scratch" in table.columns:
            axes.plot(table["step"], table["scratch"], color=style.SCRATCH, lw=1, label="scratch")
        axes.plot(table["step"], table["full"], color=style.FULL, label="full")
        axes.plot(table["step"], table["pruned"], color=style.PRUNED, label="pruned")
        if any(column.startswith("random") for column in table.columns):
            axes.plot([], [], color=style.RANDOM, lw=0.8, label="random masks")
        axes.set_title("Test error per step of the horizon")
        axes.set_xlabel("step ahead")
        axes.set_ylabel("MSE")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
    return figure


def draw_null_panel(pair: Pair) -> Figure:
    """Test MSE of every forecaster as a dot, best on top, with the margin around the full one."""
    evaluation = pair.evaluation
    errors = {name: errors.mse for name, errors in named_controls(pair).items()}
    errors["pruned"] = evaluation.pruned.mse
    rows = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    with style.styled():
        figure, (axes,) = style.new_figure(width=5.6, height=0.8 + 0.235 * len(rows))
        _dots(axes, rows, bold={"pruned", reference_name(pair)})
        full, margin = evaluation.full.mse, evaluation.margin
        axes.axvspan(full * (1 - margin), full * (1 + margin), color=style.BAND, lw=0, zorder=0)
        axes.axvline(full, color=style.FULL, lw=1, ls="--", zorder=1)
        axes.set_title(f"Null panel on the test range (band: full ± {100 * margin:.3g} %)")
        axes.set_xlabel("test MSE")
    return figure


def _dots(axes: Axes, rows: list[tuple[str, float]], *, bold: set[str]) -> None:
    values = [error for _, error in rows]
    edge = min(max(values), FAR * float(np.median(values)))
    low = min(values)
    width = max(edge - low, 0.02 * edge)
    for height, (name, error) in enumerate(rows):
        is_far = error > edge
        x = edge + 0.06 * width if is_far else error
        axes.plot([x], [height], ">" if is_far else "o", ms=7, color=colour_of(name))
        axes.annotate(
            format_error(error),
            (x, height),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=style.PRUNED if name == "pruned" else style.MUTED,
        )
    axes.set_xlim(low - 0.06 * width, edge + 0.28 * width)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name, _ in rows])
    for tick, (name, _) in zip(axes.get_yticklabels(), rows, strict=True):
        if name in bold:
            tick.set_fontweight("bold")
            tick.set_color(colour_of(name))


def draw_forecast(sample: SampleForecast) -> Figure:
    """One window: what was known, what came, and both forecasts, on scaled values."""
    context, actual, full, pruned = (
        np.asarray(values, dtype=float)
        for values in (sample.context, sample.actual, sample.full, sample.pruned)
    )
    before, ahead = np.arange(-len(context), 0), np.arange(len(actual))
    with style.styled():
        figure, (axes,) = style.new_figure(width=5.6, height=2.5)
        axes.plot(before, context, color=style.MUTED, lw=1)
        axes.plot(ahead, actual, color=style.ACTUAL, lw=1, label="actual")
        axes.plot(ahead, full, color=style.FULL, lw=1.6, ls="--", label="full")
        axes.plot(ahead, pruned, color=style.PRUNED, lw=1.8, label="pruned")
        axes.axvline(-0.5, color=style.LINE, lw=1)
        name = textwrap.shorten(str(sample.series), TITLE_LENGTH, placeholder="...")
        axes.set_title(f"{name}, test row {sample.start}")
        axes.set_xlabel("rows from the forecast's start")
        axes.legend(loc="upper left", ncols=3)
        axes.margins(y=0.2)
    return figure
