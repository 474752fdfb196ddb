"""Curves: training, healing, and error against the size of the model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tasks.figures import style
from tasks.figures.numbers import format_count
from tasks.figures.summary import SummaryRow
from tasks.sections.entries import AnyEntry

CLOSE = 1.25  # sizes within this ratio share a tick


@dataclass(frozen=True)
class SizedError:
    """Full and pruned test MSE of one model on one dataset, with the parameters each uses."""

    dataset: str
    model: str
    group: str  # models of one group differ in size only, as far as their entries say
    params_full: int
    params_pruned: int
    mse_full: float
    mse_pruned: float


def size_row(row: SummaryRow, entry: AnyEntry) -> SizedError:
    """The row of the summary as a point over size; `entry` is its model's in params.yaml."""
    rest = entry.model_dump(mode="json", exclude={"scale", "backbone", "start"})
    rest["training"] = {k: v for k, v in entry.training.items() if k != "learning_rate"}
    start = entry.start.kind if entry.start else "random"
    return SizedError(
        dataset=row.dataset,
        model=row.model,
        group=f"{start} {json.dumps(rest, sort_keys=True)}",
        params_full=row.params_full,
        params_pruned=row.params_pruned,
        mse_full=row.mse_full,
        mse_pruned=row.mse_pruned,
    )


def draw_training(history: pd.DataFrame, *, best_step: int) -> Figure:
    """Training loss and validation MSE over the steps; the kept checkpoint is marked."""
    with style.styled():
        figure, (axes,) = style.new_figure(width=5.6, height=3.0)
        train = history.dropna(subset=["train_loss"])
        valid = history.dropna(subset=["valid_mse"])
        axes.plot(train["step"], train["train_loss"], color=style.FAINT, lw=1, label="train loss")
        axes.plot(
            valid["step"], valid["valid_mse"], "o-", ms=3, color=style.INK, label="validation MSE"
        )
        _mark_best(axes, valid, best_step=best_step, colour=style.INK)
        axes.set_title("Training of the full model")
        axes.set_xlabel("step")
        axes.legend(loc="upper right")
    return figure


def draw_healing(
    healing: pd.DataFrame, *, best_steps: dict[str, int], chosen: str, target: float
) -> Figure:
    """Validation MSE while the pruned model heals, one line per option, the full model dashed."""
    with style.styled():
        figure, (axes,) = style.new_figure(width=5.6, height=3.0)
        others = cycle(colour for colour in style.SERIES[2:] if colour != style.PRUNED)
        for option, best_step in best_steps.items():
            colour = style.PRUNED if option == chosen else next(others)
            valid = healing[healing["option"] == option].dropna(subset=["valid_mse"])
            axes.plot(valid["step"], valid["valid_mse"], "o-", ms=3, color=colour, label=option)
            _mark_best(axes, valid, best_step=best_step, colour=colour)
        axes.axhline(target, color=style.FULL, lw=1.1, ls="--", label="full model")
        axes.set_title("Healing of the pruned model")
        axes.set_xlabel("step")
        axes.set_ylabel("validation MSE")
        axes.legend(loc="upper right")
    return figure


def _mark_best(axes: Axes, valid: pd.DataFrame, *, best_step: int, colour: str) -> None:
    best = valid[valid["step"] == best_step]
    axes.plot(best["step"], best["valid_mse"], "D", ms=7, color=colour, markeredgecolor="white")


def draw_scale(points: Sequence[SizedError]) -> Figure:
    """Test MSE over parameters used, relative to the best full model of each dataset."""
    datasets = list(dict.fromkeys(point.dataset for point in points))
    with style.styled():
        figure, (axes,) = style.new_figure(width=8.4, height=4.0)
        for index, dataset in enumerate(datasets):
            colour = style.SERIES[index % len(style.SERIES)]
            own = [point for point in points if point.dataset == dataset]
            _dataset_line(axes, own, colour=colour)
        axes.plot([], [], "o-", color=style.MUTED, label="full")
        axes.plot([], [], "*:", ms=10, color=style.MUTED, label="pruned")
        axes.set_xscale("log")
        _name_sizes(axes, points)
        axes.axhline(1, color=style.LINE, lw=0.8)
        axes.set_title("Error against scale: does the larger model win?")
        axes.set_xlabel("parameters used in a forecast by the full model; pruned ones at their own")
        axes.set_ylabel("test MSE / best full model")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _name_sizes(axes: Axes, points: Sequence[SizedError]) -> None:
    """Ticks at the sizes of the full models, with their names; sizes close together share one."""
    sizes: dict[float, list[str]] = {}
    for point in sorted(points, key=lambda point: point.params_full):
        last = max(sizes, default=0.0)
        size = last if sizes and point.params_full < CLOSE * last else float(point.params_full)
        names = sizes.setdefault(size, [])
        if point.model not in names:
            names.append(point.model)
    labels = ["\n".join([format_count(int(size)), *names]) for size, names in sizes.items()]
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(sizes), labels)


def _dataset_line(axes: Axes, points: list[SizedError], *, colour: str) -> None:
    best = min(point.mse_full for point in points)
    is_labelled = False
    for group in dict.fromkeys(point.group for point in points):
        line = sorted(
            (point for point in points if point.group == group),
            key=lambda point: (point.params_full, point.mse_full),
        )
        axes.plot(
            [point.params_full for point in line],
            [point.mse_full / best for point in line],
            "o-",
            color=colour,
            label=None if is_labelled else points[0].dataset,
        )
        axes.plot(
            [point.params_pruned for point in line],
            [point.mse_pruned / best for point in line],
            "*:",
            ms=10,
            lw=1.2,
            color=colour,
        )
        is_labelled = True
