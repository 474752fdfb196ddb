"""Which options of `few_layer` agree best with what was measured, over several datasets.

`python -m tests.bench.few_layer ROOT...` reads scores/DATASET/MODEL.json and, where it is there,
search/DATASET/MODEL/search.json below every root, for example `.state/presets/real`. No model is
run. It prints, for every combination of the options that decide the order of the blocks, the mean
over datasets and models of Kendall's tau with

* the measured one-shot removal loss of the blocks, and
* the healed validation error of the candidates of one size, a mask counting the sum of its blocks;

and, for every tau, how far the automatic count lies from the number of blocks that the search
chose within the margin.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tasks.artifacts import SearchResult
from tasks.score_artifacts import Scores
from tasks.score_sections import FewLayer
from tasks.scorers.few_layer import combine
from tasks.scorers.few_layer_changes import CHANGES
from tasks.searchers.rungs import rank_correlation

TAUS = np.arange(0.3, 1.0, 0.05).round(2).tolist()
SHOWN = 10


@dataclass(frozen=True)
class Measured:
    """One dataset and model."""

    scores: Scores
    search: SearchResult | None


def read_root(root: Path) -> list[Measured]:
    """All pairs below a root that have a diversity and a removal loss."""
    found: list[Measured] = []
    for path in sorted((root / "scores").glob("*/*.json")):
        scores = Scores.read(path)
        result = root / "search" / scores.dataset / scores.model / "search.json"
        if scores.diversity is not None and "removal_loss" in scores.scores:
            search = SearchResult.read(result) if result.is_file() else None
            found.append(Measured(scores, search))
    return found


def values_of(one: Measured, options: FewLayer) -> tuple[list[float], int]:
    """The score of every block and the automatic count."""
    assert one.scores.diversity is not None
    score = combine(np.array(one.scores.cosine), np.array(one.scores.diversity), options)
    assert score.count is not None
    return score.values, score.count


def with_removal_loss(one: Measured, options: FewLayer) -> float | None:
    """Kendall's tau of the blocks' score with their measured removal loss."""
    return rank_correlation(values_of(one, options)[0], one.scores.scores["removal_loss"].values)


def with_healed_candidates(one: Measured, options: FewLayer) -> float | None:
    """Mean over sizes of Kendall's tau between a mask's summed score and how well it healed."""
    if one.search is None:
        return None
    values = values_of(one, options)[0]
    taus: list[float] = []
    for size in one.search.sizes:
        masks = [c for c in one.search.candidates if len(c.keep) == size]
        sums = [sum(values[block] for block in c.keep) for c in masks]
        tau = rank_correlation(sums, [-c.valid_mse_healed for c in masks])
        taus += [] if tau is None else [tau]
    return float(np.mean(taus)) if taus else None


def mean_of(values: Sequence[float | None]) -> float:
    """The mean of those that are defined; NaN where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def print_orders(measured: Sequence[Measured]) -> None:
    """The combinations that agree best with the removal loss, and the default."""
    names = ["alpha", "predecessors", "combine", "exempt"]
    rows: list[tuple[float, float, dict[str, Any]]] = []
    for combination in product(*(CHANGES[name] for name in names)):
        change = dict(zip(names, combination, strict=True))
        options = FewLayer(**change)
        removal = mean_of([with_removal_loss(one, options) for one in measured])
        healed = mean_of([with_healed_candidates(one, options) for one in measured])
        rows.append((removal, healed, change))
    rows.sort(key=lambda row: -row[0])
    own = {name: getattr(FewLayer(), name) for name in names}
    print(f"{'rank':>4}  {'removal loss':>12}  {'healed':>6}  options")
    for rank, (removal, healed, change) in enumerate(rows, 1):
        if rank <= SHOWN or change == own:
            mark = "  <- default" if change == own else ""
            print(f"{rank:>4}  {removal:>12.3f}  {healed:>6.3f}  {change}{mark}")
    print(f"of {len(rows)} combinations, by agreement with the removal loss")


def print_counts(measured: Sequence[Measured]) -> None:
    """How far the automatic count lies from the size that the search chose, for every tau."""
    chosen = [one for one in measured if one.search is not None and one.search.within_margin]
    print(
        f"{'tau':>5}  {'mean count':>10}  mean distance from the chosen size ({len(chosen)} pairs)"
    )
    for tau in TAUS:
        options = FewLayer(tau=tau)
        counts = [values_of(one, options)[1] for one in measured]
        distances = [
            abs(values_of(one, options)[1] - len(one.search.keep)) for one in chosen if one.search
        ]
        mark = "  <- default" if tau == FewLayer().tau else ""
        print(f"{tau:>5}  {np.mean(counts):>10.2f}  {mean_of(distances):.2f}{mark}")


def main(roots: Sequence[str]) -> None:
    """Prints both tables. Exits with a message where there is nothing to read."""
    measured = [one for root in roots for one in read_root(Path(root))]
    if not measured:
        raise SystemExit(
            "usage: python -m tests.bench.few_layer ROOT... (each with scores/*/*.json)"
        )
    pairs = ", ".join(f"{one.scores.dataset}/{one.scores.model}" for one in measured)
    print(f"{len(measured)} pairs: {pairs}")
    print_orders(measured)
    print_counts(measured)


if __name__ == "__main__":
    main(sys.argv[1:])
