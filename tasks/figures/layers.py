"""Layers: scores as bars, similarity between states, and what healing does to the ranking."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.artifacts.scoring import Score, Table
from tasks.artifacts.search import Candidate, SearchResult
from tasks.figures import style
from tasks.figures.inputs import Pair
from tasks.figures.units import Units

PANELS_PER_ROW = 3


def draw_score(name: str, score: Score, *, keep: list[int], units: Units) -> Figure:
    """One score of every block as bars; the kept blocks are coloured."""
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.7, height=2.1)
        _bars(axes, name, score, keep=keep, units=units)
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
            _bars(axes, name, score, keep=pair.prune.keep, units=pair.units)
        for axes in panels[len(scores) :]:
            axes.set_axis_off()
    return figure


def _bars(axes: Axes, name: str, score: Score, *, keep: list[int], units: Units) -> None:
    blocks = range(len(score.values))
    colours = [style.PRUNED if block in keep else style.PASSIVE for block in blocks]
    values = np.nan_to_num(np.asarray(score.values, dtype=float), posinf=0.0, neginf=0.0)
    axes.bar(blocks, values, color=colours, width=0.78)
    axes.axhline(0, color=style.LINE, lw=0.8)
    axes.set_title(name.replace("_", " "))
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    units.set_ticks(axes, label="block", most=12)


def draw_sublayers(losses: dict[str, list[float]]) -> Figure:
    """The removal loss of the parts of every block, side by side."""
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.7, height=2.1)
        width = 0.8 / max(1, len(losses))
        for place, (kind, values) in enumerate(losses.items()):
            blocks = np.arange(len(values)) + width * (place - (len(losses) - 1) / 2)
            axes.bar(blocks, values, width=width, color=style.SERIES[place + 1], label=kind)
        axes.axhline(0, color=style.LINE, lw=0.8)
        axes.set_title("removal loss of parts")
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("block")
        axes.legend(loc="best")
    return figure


def draw_similarity(matrix: Table, *, title: str, units: Units) -> Figure:
    """A heat map over the states h_0 .. h_L; the darker the more alike, the scale ends at 1."""
    values = np.asarray(matrix, dtype=float)
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        low = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
        image = axes.imshow(values, cmap="YlGnBu", vmin=min(low, 0.99), vmax=1.0, origin="lower")
        figure.colorbar(image, ax=axes, shrink=0.9)
        axes.set_title(title)
        axes.set_xlabel(units.told("state after block (0 = embedding)"))
        axes.set_ylabel("state")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure


def draw_healing_ranks(search: SearchResult) -> Figure:
    """The rank of every candidate among those of its size, unhealed and after each rung.

    One band of lines per size, the best on top; a line ends where its mask was left behind.
    Crossing lines are orders that healing turned round.
    """
    sizes = sorted({len(candidate.keep) for candidate in search.candidates})
    with style.styled():
        figure, (axes,) = style.new_figure(width=3.8, height=3.3)
        top, ticks = 0, []
        for size, colour in zip(sizes, _cycle(len(sizes)), strict=True):
            same = [candidate for candidate in search.candidates if len(candidate.keep) == size]
            _rank_lines(axes, same, keep=search.keep, top=top, colour=colour)
            ticks.append(top + (len(same) - 1) / 2)
            top += len(same) + 1
        axes.set_ylim(top - 1, -1)
        axes.set_yticks(ticks, [f"{size} {search.granularity}s" for size in sizes])
        labels = ["unhealed", *(f"{steps} steps" for steps in search.rungs)]
        axes.set_xticks(range(len(labels)), labels)
        axes.grid(visible=False)
        for place, tau in enumerate(search.rank_correlations):
            told = "" if tau is None else f"tau {tau:.2f}"
            axes.text(place + 0.5, -0.7, told, ha="center", fontsize=9, color=style.MUTED)
        axes.set_title("Ranks before and after healing")
    return figure


def _rank_lines(
    axes: Axes, candidates: list[Candidate], *, keep: list[int], top: int, colour: str
) -> None:
    errors = [[made.valid_mse_before, *made.valid_mse_healed] for made in candidates]
    for made, own in zip(candidates, errors, strict=True):
        ranks = [
            top + sum(other[place] < error for other in errors if len(other) > place)
            for place, error in enumerate(own)
        ]
        is_chosen = made.keep == keep
        axes.plot(
            range(len(ranks)),
            ranks,
            "o-",
            ms=9 if is_chosen else 5,
            lw=2.2 if is_chosen else 1.2,
            color=style.PRUNED if is_chosen else colour,
            zorder=3 if is_chosen else 2,
        )


def _cycle(count: int) -> list[str]:
    colours = [colour for colour in style.SERIES if colour != style.PRUNED]
    return [colours[index % len(colours)] for index in range(count)]
