"""The study as one figure: how far the pruned models and their rivals are from the full ones."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.figures import style
from tasks.metrics.study import MARGIN, best_within

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
    tallest = max(chosen.groupby("model").size())
    with style.styled():
        figure, panels = style.new_figure(
            width=3.6 * len(models), height=1.3 + 0.26 * tallest, columns=len(models)
        )
        for axes, model in zip(panels, models, strict=True):
            _draw_model(axes, chosen[chosen["model"] == model])
            axes.set_title(model)
        panels[0].legend(loc="best")
    return figure


def _draw_model(axes: Axes, rows: pd.DataFrame) -> None:
    labels = [
        f"{row.dataset} {row.horizon}, seed {row.seed}" for row in rows.itertuples(index=False)
    ]
    places = list(range(len(rows)))[::-1]
    axes.axvspan(-100 * MARGIN, 100 * MARGIN, color=style.BAND, lw=0, zorder=0)
    axes.axvline(0, color=style.FULL, lw=1, ls="--", zorder=1)
    for name, (colour, marker, label) in DRAWN.items():
        relative = 100 * (rows[name] / rows["full"] - 1)
        axes.scatter(relative, places, color=colour, marker=marker, s=26, label=label, zorder=2)
    axes.set_yticks(places, labels)
    axes.set_xlabel("test error against the full model's, %")
