"""The study as one figure: how far the pruned models and their rivals are from the full ones."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.figures import style
from tasks.metrics.study import MARGIN, best_within

EDGE = 30.0  # %; what lies beyond is told in words
DRAWN = {
    "random": (style.RANDOM, "o", "random masks (mean)"),
    "scratch": (style.SCRATCH, "s", "same depth from scratch"),
    "pruned": (style.PRUNED, "D", "pruned"),
}


def draw_study(rows: pd.DataFrame, cap: float) -> Figure:
    """Test error relative to the full model's, one panel per model, one line per dataset.

    Each mark is the mean over the seeds; where there are several a bar reaches from the lowest to
    the highest.

    Args:
        rows: of the study, see `task_row`.
        cap: the largest share of blocks kept.
    """
    chosen = best_within(rows, cap)
    models = list(chosen["model"].unique())
    named = ["dataset", *(["horizon"] if chosen["horizon"].nunique() > 1 else [])]
    chosen["task"] = chosen[named].apply(lambda row: " ".join(map(str, row)), axis=1)
    places = {task: -place for place, task in enumerate(chosen["task"].unique())}
    with style.styled():
        figure, panels = style.new_figure(
            width=1 + 3.4 * len(models), height=1.6 + 0.3 * len(places), columns=len(models)
        )
        for axes, model in zip(panels, models, strict=True):
            _draw_model(axes, chosen[chosen["model"] == model], places)
            axes.set_yticks(list(places.values()), list(places) if axes is panels[0] else [])
            axes.set_title(model)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(DRAWN))
        figure.supxlabel("test error against the full model's, %", fontsize=10)
    return figure


def _draw_model(axes: Axes, rows: pd.DataFrame, places: dict[str, int]) -> None:
    axes.axvspan(-100 * MARGIN, 100 * MARGIN, color=style.BAND, lw=0, zorder=0)
    axes.axvline(0, color=style.FULL, lw=1, ls="--", zorder=1)
    beyond: dict[str, list[str]] = {}
    for number, (name, (colour, marker, label)) in enumerate(DRAWN.items()):
        relative = 100 * (rows[name] / rows["full"] - 1)
        seeds = relative.groupby(rows["task"], sort=False).agg(["mean", "min", "max"])
        has_bars = bool((seeds["min"] < seeds["max"]).any())
        lines = [places[task] + (0.22 * (1 - number) if has_bars else 0.0) for task in seeds.index]
        low, high = seeds["min"].clip(lower=-EDGE), seeds["max"].clip(upper=EDGE)
        is_near = seeds["mean"].abs() <= EDGE
        if has_bars:
            axes.hlines(lines, low.where(is_near), high.where(is_near), color=colour, lw=1.5)
        shown = seeds["mean"].where(is_near)
        axes.scatter(shown, lines, color=colour, marker=marker, s=26, label=label, zorder=3)
        for task, value in seeds["mean"][~is_near].items():
            beyond.setdefault(str(task), []).append(f"{name} {value:+.0f} %")
    for task, texts in beyond.items():
        axes.annotate(
            ", ".join(texts), (0.98, places[task]), xycoords=axes.get_yaxis_transform(),
            xytext=(0, 4), textcoords="offset points",  # above the marks of this task
            ha="right", va="bottom", fontsize=8, color=style.MUTED,
        )  # fmt: skip
