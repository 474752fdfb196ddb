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
    """Test error relative to the full model's, one panel per model, one line per task.

    Args:
        rows: of the study, see `task_row`.
        cap: the largest share of blocks kept.
    """
    chosen = best_within(rows, cap)
    models = list(chosen["model"].unique())
    varied = [name for name in ("horizon", "seed") if chosen[name].nunique() > 1]
    tasks = chosen[["dataset", *varied]].apply(lambda row: " ".join(map(str, row)), axis=1)
    places = {task: -place for place, task in enumerate(tasks.unique())}
    with style.styled():
        figure, panels = style.new_figure(
            width=1 + 3.4 * len(models), height=1.6 + 0.3 * len(places), columns=len(models)
        )
        for axes, model in zip(panels, models, strict=True):
            is_model = chosen["model"] == model
            _draw_model(axes, chosen[is_model], [places[task] for task in tasks[is_model]])
            axes.set_yticks(list(places.values()), list(places) if axes is panels[0] else [])
            axes.set_title(model)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(DRAWN))
        figure.supxlabel("test error against the full model's, %", fontsize=10)
    return figure


def _draw_model(axes: Axes, rows: pd.DataFrame, places: list[int]) -> None:
    axes.axvspan(-100 * MARGIN, 100 * MARGIN, color=style.BAND, lw=0, zorder=0)
    axes.axvline(0, color=style.FULL, lw=1, ls="--", zorder=1)
    beyond: dict[int, list[str]] = {}
    for name, (colour, marker, label) in DRAWN.items():
        relative = 100 * (rows[name] / rows["full"] - 1)
        shown = relative.where(relative.abs() <= EDGE)
        axes.scatter(shown, places, color=colour, marker=marker, s=26, label=label, zorder=2)
        for place, value in zip(places, relative, strict=True):
            if abs(value) > EDGE:
                beyond.setdefault(place, []).append(f"{name} {value:+.0f} %")
    for place, texts in beyond.items():
        axes.text(
            0.98, place, ", ".join(texts), transform=axes.get_yaxis_transform(), ha="right",
            va="center", fontsize=8, color=style.MUTED,
        )  # fmt: skip
