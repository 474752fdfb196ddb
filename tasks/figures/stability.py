"""Whether "these are the layers" is a finding or a draw: a sentence, a table and a figure."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from tasks.figures import style
from tasks.figures.numbers import format_p_value
from tasks.figures.summary import judgement_of
from tasks.figures.tables import Table
from tasks.figures.units import Units
from tasks.metrics.agreement import SAMPLES, Agreement, mask_agreement, rank_agreement
from tasks.metrics.stability import SEARCH, Axis, Setting, Stability, settings_along, without

CHANGED: dict[Axis, str] = {
    "calibration": "calibration windows",
    "period": "half of the training period",
    "horizon": "horizon",
    "seed": "training seed",
}


def stability_sentences(stability: Stability) -> list[str]:
    """Whether these are the layers, and what was not varied."""
    found = judgement_of(stability)
    if found is None:
        return ["Whether these are the layers cannot be told: too few settings or blocks."]
    count, size, units = found.whole.count, len(stability.keep), Units(stability.granularity)
    axes = [what for axis, what in CHANGED.items() if settings_along(stability, axis)]
    told = f"over {count} settings ({', '.join(axes)}) the best {size} {units.noun}s before healing"
    whole = f"({_agreement(found.whole)})"
    rest = "" if found.rest is None else f" ({_agreement(found.rest)})"
    settled = found.settled
    named = f"{units.noun}{'s' if settled[1:] else ''} {units.names(settled)}"
    if found.answer == "draw":
        text = f"A draw: {told} do not clearly agree more than random masks do {whole}."
    elif found.answer == "other":
        text = (
            f"Not these: {told} agree more than random masks do {whole}, but the run's own "
            "choice, made after healing, is another."
        )
    elif found.answer == "partly":
        text = (
            f"Only {named} {'are' if settled[1:] else 'is'} a finding, the others are a draw: "
            f"{told} agree {whole}, but the others not clearly more than random masks do{rest}."
        )
    else:
        besides = f", also without {named}{rest}" if rest else ""
        text = f"A finding: {told} agree more than random masks do {whole}{besides}."
    return [
        f"Are these the layers? {text}",
        "The run's own choice, made after healing, against these masks: "
        f"{_agreement(found.chosen)}.",
        *_not_varied(stability),
    ]


def _not_varied(stability: Stability) -> list[str]:
    absent = [what for axis, what in CHANGED.items() if not settings_along(stability, axis)]
    text = f"Not varied here: {', '.join(absent)}."
    if "training seed" in absent:
        text += " The command fewlayers study compares models of other seeds and longer horizons."
    return [text] if absent else []


def _agreement(found: Agreement) -> str:
    p_value = format_p_value(found.p_value)
    return f"Jaccard {found.jaccard:.2f}, by chance {found.by_chance:.2f}, p {p_value}"


def stability_table(stability: Stability) -> Table:
    """Agreement of masks and of scores, by what was changed and by who chose."""
    units = Units(stability.granularity)
    headers = [
        "what changes", "settings", "chosen by", "Jaccard", "by chance", "p",
        f"without {units.noun} {units.name(0)}: Jaccard", "by chance", "p",
        "Kendall's tau of the scores", "p",
    ]  # fmt: skip
    groups = {what: settings_along(stability, axis) for axis, what in CHANGED.items()}
    groups = {what: found for what, found in groups.items() if len(found) > 1}
    if len(groups) > 1:
        groups["all of these"] = stability.settings
    rows = [
        _row(what, source, settings, stability.num_blocks)
        for what, settings in groups.items()
        for source in settings[0].masks
        if all(source in setting.masks for setting in settings)
    ]
    marked = frozenset(index for index, row in enumerate(rows) if row[2] == SEARCH)
    return Table(headers=headers, rows=rows, numeric_from=3, marked=marked)


def _row(what: str, source: str, settings: list[Setting], num_blocks: int) -> list[str]:
    generator = np.random.default_rng(0)
    masks = [setting.masks[source] for setting in settings]
    whole = mask_agreement(masks, num_blocks, samples=SAMPLES, generator=generator)
    rest = mask_agreement(without(masks, [0]), num_blocks - 1, samples=SAMPLES, generator=generator)
    values = [setting.scores[source] for setting in settings if source in setting.scores]
    ranks = rank_agreement(values, samples=SAMPLES, generator=generator)
    tau = ["", ""] if ranks is None else [f"{ranks.tau:.2f}", format_p_value(ranks.p_value)]
    name = source.replace("_", " ")
    return [what, str(len(settings)), name, *_cells(whole), *_cells(rest), *tau]


def _cells(found: Agreement | None) -> list[str]:
    if found is None:
        return ["", "", ""]
    return [f"{found.jaccard:.2f}", f"{found.by_chance:.2f}", format_p_value(found.p_value)]


def draw_stability(stability: Stability) -> Figure:
    """One row per setting, the run's own choice on top; a filled cell is a kept block."""
    settings, units = stability.settings, Units(stability.granularity)
    masks = [stability.keep, *(setting.masks[SEARCH] for setting in settings)]
    labels = ["the run's choice", *(setting.label for setting in settings)]
    cells = [[float(block in mask) for block in range(stability.num_blocks)] for mask in masks]
    cells[0] = [2 * cell for cell in cells[0]]
    colours = ListedColormap(["white", style.FAINT, style.PRUNED])
    with style.styled():
        figure, (axes,) = style.new_figure(width=5.6, height=0.9 + 0.26 * len(masks))
        axes.pcolormesh(cells, cmap=colours, vmin=0, vmax=2, edgecolors=style.LINE, lw=0.6)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(masks)) + 0.5, labels)
        step = max(1, stability.num_blocks // 12)
        blocks = np.arange(0, stability.num_blocks, step)
        axes.set_xticks(blocks + 0.5, [units.name(int(block)) for block in blocks])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_title("Best masks before healing in other settings")
        axes.set_xlabel(units.noun)
    return figure
