"""A run over several scales as one figure: error against size, profile, pruning, latency."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tasks.figures import style
from tasks.figures.numbers import format_count
from tasks.metrics.scale import MEAN, ScaleStudy

PROFILES = ("block_influence", "removal_loss")
RIVALS = {
    "first": ("#009e73", "^", "first blocks"),
    "last": ("#cc79a7", "v", "last blocks"),
    "scratch": (style.SCRATCH, "s", "same depth from scratch"),
    "pruned": (style.PRUNED, "D", "pruned"),
}


def draw_scale_study(study: ScaleStudy) -> Figure:
    """Four panels, or three where latency was not measured; the title names the machine."""
    with style.styled():
        figure, panels = style.new_figure(width=11.5, height=8.4, columns=2, rows=2)
        _draw_errors(panels[0], study.errors)
        _draw_profiles(panels[1], study.profile)
        _draw_rivals(panels[2], study.errors)
        if study.latency.empty:
            panels[3].set_axis_off()
        else:
            _draw_latency(panels[3], study.latency)
        figure.suptitle(study.machine, x=0.01, ha="left", fontsize=9, color=style.MUTED)
    return figure


def _draw_errors(axes: Axes, errors: pd.DataFrame) -> None:
    """Every dataset's error over the number of parameters, relative to the smallest model's."""
    for dataset, group in errors.groupby("dataset", sort=False):
        is_mean = dataset == MEAN
        axes.plot(
            group["parameters"],
            group["full"] / group["full"].iloc[0],
            "o-",
            ms=7 if is_mean else 4,
            lw=2.6 if is_mean else 1.2,
            color=style.INK if is_mean else None,
            label=dataset,
            zorder=3 if is_mean else 2,
        )
    axes.set_xscale("log")
    sizes = errors.drop_duplicates("model")
    axes.xaxis.set_minor_locator(NullLocator())
    labels = [
        f"{format_count(count)}\n{model}"
        for model, count in zip(sizes["model"], sizes["parameters"].astype(int), strict=True)
    ]
    axes.set_xticks(list(sizes["parameters"]), labels)
    axes.axhline(1, color=style.LINE, lw=0.8)
    axes.set_title("Error against scale (full models)")
    axes.set_ylabel("test MSE / smallest model's")
    axes.legend(loc="best", ncols=2)


def _draw_profiles(axes: Axes, profile: pd.DataFrame) -> None:
    """Scores of every block, each over its highest value, by depth."""
    colours = dict(zip(profile["model"].unique(), style.SERIES, strict=False))
    for model, group in profile.groupby("model", sort=False):
        depth = (group["block"] - 0.5) / group["block"].max()
        for name, line in zip(PROFILES, ("o-", "x:"), strict=True):
            if name in group:
                axes.plot(depth, _by_highest(group[name]), line, ms=4, lw=1.3, color=colours[model],
                          label=f"{model}, {name.replace('_', ' ')}")  # fmt: skip
    axes.axhline(0, color=style.LINE, lw=0.8)
    axes.set_ylim(bottom=-0.25)
    axes.set_title("Layer profile")
    axes.set_xlabel("depth of the block (0 input, 1 output)")
    axes.set_ylabel("score / highest")
    axes.legend(loc="upper right", fontsize=8)


def _by_highest(values: "pd.Series[float]") -> Float[np.ndarray, " blocks"]:
    array = values.to_numpy(dtype=float)
    highest = array.max()
    return array / highest if highest > 0 else array


def _draw_rivals(axes: Axes, errors: pd.DataFrame) -> None:
    """Mean error of the pruned models and their controls against the full model's."""
    means = errors[errors["dataset"] == MEAN]
    places = np.arange(len(means))

    def relative(name: str) -> Float[np.ndarray, " models"]:
        return (100 * (means[name] / means["full"] - 1)).to_numpy(dtype=float)

    axes.vlines(places, relative("random_best"), relative("random_worst"), color=style.RANDOM, lw=8,
                alpha=0.5, label="random masks")  # fmt: skip
    for shift, (name, (colour, marker, label)) in enumerate(RIVALS.items(), start=1):
        axes.scatter(places + 0.1 * shift, relative(name), color=colour, marker=marker, s=34,
                     label=label, zorder=3)  # fmt: skip
    axes.axhline(0, color=style.FULL, lw=1, ls="--", label="full, equal tuning")
    _name(axes, [f"{row.model}\n{row.kept} of {row.blocks}" for row in means.itertuples()])
    axes.set_title("Pruned and healed, against controls with equal tuning")
    axes.set_ylabel("mean test MSE against the full model's, %")
    axes.legend(loc="best", fontsize=8)


def _draw_latency(axes: Axes, latency: pd.DataFrame) -> None:
    """Median latency at the largest batch."""
    largest = latency[latency["batch"] == latency["batch"].max()]
    places = np.arange(len(largest))
    axes.bar(places - 0.18, largest["full_ms"], width=0.34, color=style.FULL, label="full")
    axes.bar(places + 0.18, largest["pruned_ms"], width=0.34, color=style.PRUNED, label="pruned")
    for place, row in zip(places, largest.itertuples(), strict=True):
        axes.text(place + 0.18, row.pruned_ms, f"{row.speedup:.1f}x", ha="center", va="bottom",
                  fontsize=9, color=style.INK)  # fmt: skip
    _name(axes, list(largest["model"]))
    axes.grid(visible=False, axis="x")
    axes.set_title(f"Latency of a batch of {int(largest['batch'].iloc[0])} windows")
    axes.set_ylabel("median, ms")
    axes.legend(loc="best")


def _name(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, len(labels) - 0.4)
