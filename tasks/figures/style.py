"""One restrained look for every figure, and figures as inline SVG or small PNG.

Figures are drawn without pyplot, so nothing global stays open, and written without dates or
random ids: the same artifacts give the same bytes.
"""

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tasks.artifacts.files import write_atomically

INK = "#1f2937"
MUTED = "#6b7280"
LINE = "#d1d5db"
FULL = "#475569"
PRUNED = "#0072b2"
RANDOM = "#e69f00"
SCRATCH = "#d55e00"
PASSIVE = "#cbd5e1"
FAINT = "#9aa8ba"
BAND = "#e6edf5"
ACTUAL = "#111827"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#475569")

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # names may hold a dollar sign
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": False,
    "grid.color": "#eef0f3",
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draws and saves inside this context get the report's look."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(
    *, width: float, height: float, columns: int = 1, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure in inches with its axes in reading order; call inside `styled()`."""
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.ravel())


def to_svg(figure: Figure, *, name: str, label: str) -> str:
    """The figure as an SVG element to put into a page.

    Args:
        figure: drawn inside `styled()`.
        name: differs between the figures of one page; keeps their internal ids apart.
        label: what the figure shows, for screen readers.
    """
    with warnings.catch_warnings(), mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        FigureCanvasSVG(figure)
        buffer = io.StringIO()
        _allow_any_letter()
        empty = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=empty)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<\w+) id="[\w.]+_\d+"', r"\1", text)  # never referred to
    view = re.search(r'viewBox="([^"]*)"', text)
    shown = html.escape(label, quote=True)
    width = figure.get_figwidth() * 96
    head = (
        f'<svg role="img" aria-label="{shown}" viewBox="{view[1] if view else ""}" '
        f'style="max-width:{width:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: head, text).rstrip() + "\n"


def to_png(figure: Figure) -> bytes:
    """The figure as PNG without a date or a program name."""
    with warnings.catch_warnings(), mpl.rc_context(STYLE):
        FigureCanvasAgg(figure)
        buffer = io.BytesIO()
        _allow_any_letter()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def write_png(path: Path, figure: Figure) -> None:
    """Writes the figure as `to_png` makes it, atomically."""
    content = to_png(figure)

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def _allow_any_letter() -> None:
    """Names may hold letters that the measuring font lacks; the page's own font draws them."""
    warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")


def set_log_ticks(axes: Axes, *, low: float, high: float) -> None:
    """A logarithmic y axis over [low, high] with few plainly written ticks."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def spread(positions: list[float], *, gap: float) -> list[float]:
    """Moves positions apart until neighbours are at least `gap` apart; order and centre stay.

    Used for labels. The result is in the order of the input.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    clusters: list[tuple[list[int], float]] = []  # members, centre
    for index in order:
        members, centre = [index], positions[index]
        while (
            clusters and centre - clusters[-1][1] < gap * (len(members) + len(clusters[-1][0])) / 2
        ):
            before, _ = clusters.pop()
            members = before + members
            centre = sum(positions[member] for member in members) / len(members)
        clusters.append((members, centre))
    moved = list(positions)
    for members, centre in clusters:
        for rank, member in enumerate(members):
            moved[member] = centre + gap * (rank - (len(members) - 1) / 2)
    return moved
