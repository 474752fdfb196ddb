"""Error against cost: the trials, the Pareto front, the choice and every control."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.errors import ArtifactError
from tasks.figures import style
from tasks.figures.inputs import Pair
from tasks.masks.mask import format_mask

# Forecasters beyond this multiple of the median are written at the edge.
FAR = 1.5
GOLDEN = 0.618034  # multiples of it, modulo 1, never bunch


@dataclass(frozen=True)
class Point:
    """One tuned forecaster: its number of blocks, its cost, its validation error, its colour."""

    name: str
    num_kept: int
    cost: float
    error: float

    @property
    def is_random(self) -> bool:
        """True for a random mask of the null panel."""
        return self.name.startswith("random")

    @property
    def colour(self) -> str:
        """The colour that this forecaster has in every figure."""
        return colour_of(self.name)


def colour_of(name: str) -> str:
    """The colour of a forecaster."""
    if name.startswith("random"):
        return style.RANDOM
    if name.startswith("scratch"):
        return style.SCRATCH
    if name.startswith("full"):
        return style.FULL
    return style.PRUNED if name == "pruned" else style.MUTED


def reference_name(pair: Pair) -> str:
    """The forecaster that the pruned model is compared with, the better of the full ones."""
    return "full_untuned" if pair.evaluation.full_is == "full" else "full_extra"


def validation_error(pair: Pair, name: str) -> float:
    """The validation MSE of a forecaster by name, as `evaluate` or else as its stage wrote it.

    Raises:
        ArtifactError: nobody wrote one.
    """
    errors = {control: made.training.valid_mse for control, made in pair.controls.items()}
    errors["full_untuned"] = pair.training.valid_mse
    errors["full"] = errors.get(reference_name(pair), pair.training.valid_mse)
    healed = {option.name: option.training.valid_mse for option in pair.prune.options}
    if pair.prune.chosen in healed:
        errors["pruned"] = healed[pair.prune.chosen]
    errors |= pair.evaluation.valid_mse
    if name not in errors:
        raise ArtifactError(
            f"evaluation/{pair.dataset}/{pair.model}/evaluation.json: valid_mse must name "
            f"{name!r}; run `evaluate` again"
        )
    return errors[name]


def cost_of_size(pair: Pair) -> Callable[[int], float]:
    """The cost of keeping n blocks: the line from the full model's cost, 1, through the trials'.

    With the cost `share` this is n over the number of blocks; with measured latency it lets the
    controls, which were no trials, stand on the same axis. Sublayers of one number differ in
    latency by their kinds; the line is their mean. It never falls and never starts below 0, however
    noisy the latencies are.
    """
    share = 1 / pair.search.num_blocks
    dropped = pair.search.num_blocks - pair.trials["num_kept"].to_numpy(float)
    saved = 1 - pair.trials["cost"].to_numpy(float)
    square = float(dropped @ dropped)
    slope = min(max(float(dropped @ saved) / square, 0.0), share) if square else share
    return lambda num_kept: 1 - slope * (pair.search.num_blocks - num_kept)


def chosen_trial(pair: Pair) -> pd.Series:
    """The first row of the trials that measured the chosen mask."""
    return pair.trials[pair.trials["keep"] == format_mask(pair.prune.keep)].iloc[0]


def tuned_points(pair: Pair) -> list[Point]:
    """The full model, every control and, last, the pruned model."""
    num_blocks, num_kept = pair.search.num_blocks, len(pair.prune.keep)
    sizes = {"full_untuned": num_blocks}
    for name in pair.evaluation.controls:
        made = pair.controls.get(name)
        if made is None:
            sizes[name] = 0  # seasonal naive and linear have no blocks
        elif made.keep is None:
            sizes[name] = num_blocks if name.startswith("full") else num_kept
        else:
            sizes[name] = len(made.keep)
    sizes["pruned"] = num_kept
    line = cost_of_size(pair)
    costs = {name: line(size) for name, size in sizes.items()}
    costs["pruned"] = float(chosen_trial(pair)["cost"])
    points = [
        Point(name, size, costs[name], validation_error(pair, name)) for name, size in sizes.items()
    ]
    return [point for point in points if np.isfinite(point.error) and point.error > 0]


def draw_error_vs_cost(pair: Pair) -> Figure:
    """Left: trials before healing and their front. Right: healed candidates and controls."""
    with style.styled():
        figure, (before, after) = style.new_figure(width=11.4, height=4.6, columns=2)
        _draw_trials(before, pair)
        _draw_tuned(after, pair)
    return figure


def _draw_trials(axes: Axes, pair: Pair) -> None:
    trials, front = pair.trials, pair.front.sort_values("cost")
    full = pair.search.full_unhealed_mse
    chosen = chosen_trial(pair)
    one_block = cost_of_size(pair)(2) - cost_of_size(pair)(1)
    aside = one_block * 0.5 * ((trials["number"] * GOLDEN) % 1 - 0.5)
    x, y = trials["cost"] + aside, trials["valid_mse"]
    stopped, scored = pair.is_stopped, trials["source"].isin(pair.scores.scores)
    axes.scatter(x[~stopped], y[~stopped], s=14, color=style.PASSIVE, lw=0, label="trial")
    if stopped.any():
        axes.scatter(
            x[stopped], y[stopped], s=3, color=style.PASSIVE, lw=0, label="stopped early (estimate)"
        )
    axes.scatter(
        x[scored], y[scored], s=26, facecolors="none", edgecolors=style.MUTED, lw=0.9,
        label="a score's own mask",
    )  # fmt: skip
    axes.plot(
        front["cost"], front["valid_mse"], "o-", ms=4, color=style.INK, lw=1.2, label="Pareto front"
    )
    axes.axhline(full, color=style.FULL, lw=1.1, ls="--", label="full model as trained")
    _star(axes, float(chosen["cost"]), float(chosen["valid_mse"]), label="chosen mask")
    low, high = _limits([*trials["valid_mse"], full])
    style.set_log_ticks(axes, low=low, high=high)
    axes.set_title(f"Before healing: {len(trials)} trials")
    axes.set_xlabel(_cost_label(pair))
    axes.set_ylabel("validation MSE")
    axes.set_xlim(left=0)
    axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")


def _draw_tuned(axes: Axes, pair: Pair) -> None:
    points, candidates = tuned_points(pair), pair.search.candidates
    full = validation_error(pair, "full")
    healed = [made.valid_mse_healed[-1] for made in candidates]
    edge = FAR * float(np.median([point.error for point in points]))
    near = [point for point in points if point.error <= edge]
    low, high = _limits([full, *healed, *(point.error for point in near)])
    style.set_log_ticks(axes, low=low, high=high)
    rightmost = max([made.cost for made in candidates], default=0.0)
    axes.set_xlim(-0.04, max(1.0, rightmost) + 0.26)
    axes.axhspan(full, full * (1 + pair.search.margin), color=style.BAND, lw=0, zorder=0)
    axes.axhline(full, color=style.FULL, lw=1.1, ls="--", zorder=1)
    axes.plot(
        [made.cost for made in candidates],
        healed,
        "o",
        ms=5.5,
        markerfacecolor="none",
        color=style.MUTED,
        label="candidate, healed briefly",
    )
    for point in near:
        if point.name != "pruned":
            label = "random masks, healed" if point.name == "random_0" else None
            axes.plot([point.cost], [point.error], "o", ms=6, color=point.colour, label=label)
    _star(axes, points[-1].cost, points[-1].error, label="chosen mask, healed")
    for size in sorted({point.num_kept for point in near}):
        named = [point for point in near if point.num_kept == size and not point.is_random]
        x = max((point.cost for point in named), default=0.0)
        beside = rightmost if 0 < x <= rightmost else x
        _label_column(axes, named, label_x=beside + 0.045)
    beyond = [f"{p.name.replace('_', ' ')} {p.error:.3g}" for p in points if p not in near]
    if beyond:
        axes.text(
            0.01, 0.98, "\n".join(["above:", *beyond]), transform=axes.transAxes, va="top",
            fontsize=9, color=style.MUTED,
        )  # fmt: skip
    axes.set_title("After healing: candidates, choice and null panel")
    axes.set_xlabel(_cost_label(pair))
    if _is_share(pair):
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.legend(loc="upper right")


def _star(axes: Axes, x: float, y: float, *, label: str) -> None:
    axes.plot(
        [x], [y], "*", ms=15, color=style.PRUNED, markeredgecolor="white", zorder=5, label=label
    )


def _label_column(axes: Axes, points: list[Point], *, label_x: float) -> None:
    """Names right of the points of one size, moved apart where they crowd."""
    low, high = (float(np.log(limit)) for limit in axes.get_ylim())
    heights = [(float(np.log(point.error)) - low) / (high - low) for point in points]
    for point, height in zip(points, style.spread(heights, gap=0.055), strict=True):
        axes.annotate(
            point.name.replace("_", " "),
            xy=(point.cost, point.error),
            xytext=(label_x, height),
            textcoords=axes.get_xaxis_transform(),
            va="center",
            fontsize=9,
            color=point.colour,
            fontweight="bold" if point.name == "pruned" else "normal",
            arrowprops={"arrowstyle": "-", "color": style.LINE, "lw": 0.7, "shrinkA": 0},
        )


def _limits(errors: Iterable[float]) -> tuple[float, float]:
    finite = [error for error in errors if np.isfinite(error) and error > 0] or [1.0]
    return min(finite) * 0.93, max(finite) * 1.12


def _cost_label(pair: Pair) -> str:
    share = pair.units.told("cost: share of blocks kept")
    return share if _is_share(pair) else "cost: measured latency"


def _is_share(pair: Pair) -> bool:
    shares = pair.trials["num_kept"].to_numpy(float) / pair.search.num_blocks
    return bool(np.allclose(pair.trials["cost"].to_numpy(float), shares, atol=1e-3))
