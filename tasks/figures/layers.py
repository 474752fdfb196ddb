"""Layers: scores as bars, similarity between states, and what healing does to the ranking."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.artifacts import Candidate, Score
from tasks.figures import style
from tasks.figures.inputs import Pair

PANELS_PER_ROW = 3


def draw_score(name: str, score: Score, *, keep: list[int]) -> Figure:
    """One score of every block as bars; the kept blocks are coloured."""
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.7, height=2.1)
        _bars(axes, name, score, keep=keep)
    return figure


def draw_all_scores(pair: Pair) -> Figure:
    """Every score as one small panel, for a single image."""
    scores = pair.scores.scores
    rows = max(1, math.ceil(len(scores) / PANELS_PER_ROW))
    columns = max(1, min(PANELS_PER_ROW, len(scores)))
    with style.styled():
        figure, panels = style.new_figure(
            width=3.7 * columns, height=2.2 * rows, columns=columns, rows=rows
        )
        for axes, (name, score) in zip(panels, scores.items(), strict=False):
            _bars(axes, name, score, keep=pair.prune.keep)
        for axes in panels[len(scores) :]:
            axes.set_axis_off()
    return figure


def _bars(axes: Axes, name: str, score: Score, *, keep: list[int]) -> None:
    blocks = range(len(score.values))
    colours = [style.PRUNED if block in keep else style.PASSIVE for block in blocks]
    values = np.nan_to_num(np.asarray(score.values, dtype=float), posinf=0.0, neginf=0.0)
    axes.bar(blocks, values, color=colours, width=0.78)
    axes.axhline(0, color=style.LINE, lw=0.8)
    axes.set_title(name.replace("_", " "))
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("block")


def draw_similarity(matrix: list[list[float]], *, title: str) -> Figure:
    """A heat map over the states h_0 .. h_L; the darker the more alike, the scale ends at 1."""
    values = np.asarray(matrix, dtype=float)
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        low = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
        image = axes.imshow(values, cmap="YlGnBu", vmin=min(low, 0.99), vmax=1.0, origin="lower")
        figure.colorbar(image, ax=axes, shrink=0.9)
        axes.set_title(title)
        axes.set_xlabel("state after block (0 = embedding)")
        axes.set_ylabel("state")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure


def draw_healing_ranks(candidates: list[Candidate], *, keep: list[int]) -> Figure:
    """Candidates before against after brief healing: a rising line means the order survives."""
    sizes = sorted({len(candidate.keep) for candidate in candidates})
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        for size, colour in zip(sizes, _cycle(len(sizes)), strict=True):
            same = [candidate for candidate in candidates if len(candidate.keep) == size]
            axes.scatter(
                [candidate.valid_mse_before for candidate in same],
                [candidate.valid_mse_healed for candidate in same],
                s=32,
                color=colour,
                label=f"{size} blocks",
            )
        for candidate in candidates:
            if candidate.keep == keep:
                axes.plot(
                    [candidate.valid_mse_before],
                    [candidate.valid_mse_healed],
                    "*",
                    ms=15,
                    color=style.PRUNED,
                    markeredgecolor="white",
                    label="chosen",
                )
        axes.set_title("Candidates before and after healing")
        axes.set_xlabel("validation MSE, unhealed")
        axes.set_ylabel("healed briefly")
        axes.legend(loc="best")
    return figure


def _cycle(count: int) -> list[str]:
    colours = [colour for colour in style.SERIES if colour != style.PRUNED]
    return [colours[index % len(colours)] for index in range(count)]
