"""What the scores are worth, and which options of `few_layer` agree best with what was measured.

`python -m tests.bench.scores ROOT...` reads scores/DATASET/MODEL.json and, where it is there,
search/DATASET/MODEL/search.json below every root, for example `.state/presets/real`, runs no
model, and prints as Markdown, over all these pairs of dataset and model:

* for every score the mean Kendall tau with the one-shot removal loss of the blocks and with the
  healed validation error of the candidates of one size, a mask counting the sum of its blocks,
  and that between its orders on the fewest and on the most calibration windows;
* for every combination of the options of `few_layer` that decide the order of the blocks, the
  agreement with the removal loss;
* for every tau of `few_layer`, how far the automatic count lies from the number of blocks that the
  search chose within its margin, and how far "always two blocks" does.

The defaults in params.yaml come from this command. The candidates were chosen by their error
before healing and by scores, so they are no random masks: among those a score may be worth more.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts.scoring import Score, Scores
from tasks.artifacts.search import SearchResult
from tasks.figures.sensitivity import few_against_many
from tasks.metrics.study import markdown_of
from tasks.scorers.few_layer import combine
from tasks.scorers.few_layer_changes import CHANGES
from tasks.searchers.rungs import rank_correlation
from tasks.sections.scoring import FewLayer

ORDER = ["alpha", "predecessors", "combine", "exempt"]  # options that decide the order of blocks
TAUS = np.arange(0.2, 1.0, 0.05).round(2).tolist()
CONTROL = 2  # blocks, whatever the score says
SHOWN = 10
DEFAULT = "default"


@dataclass(frozen=True)
class Measured:
    """One dataset and model."""

    scores: Scores
    search: SearchResult | None

    def few_layer(self, options: FewLayer) -> Score | None:
        """`few_layer` with these options, or None where the diversity was not stored."""
        if self.scores.diversity is None:
            return None
        return combine(np.array(self.scores.cosine), np.array(self.scores.diversity), options)

    @property
    def chosen_count(self) -> int | None:
        """How many blocks the search chose, or None where no mask was within the margin."""
        if self.search is None or not self.search.within_margin:
            return None
        return len(self.search.keep)


def read_root(root: Path) -> list[Measured]:
    """All pairs below a root that were scored. Raises ArtifactError."""
    found: list[Measured] = []
    for path in sorted((root / "scores").glob("*/*.json")):
        scores = Scores.read(path)
        result = root / "search" / scores.dataset / scores.model / "search.json"
        found.append(Measured(scores, SearchResult.read(result) if result.is_file() else None))
    return found


def with_removal_loss(one: Measured, score: Score | None) -> float | None:
    """Kendall's tau of the blocks' score with their measured removal loss."""
    removal = one.scores.scores.get("removal_loss")
    if score is None or removal is None:
        return None
    return rank_correlation(score.values, removal.values)


def with_healed_error(one: Measured, score: Score | None) -> float | None:
    """Mean over sizes of Kendall's tau between a mask's summed score and how well it healed.

    Healed on the first rung, which every candidate climbed; 1 = higher sum, lower error.
    """
    if score is None or one.search is None:
        return None
    taus: list[float] = []
    for size in one.search.sizes:
        masks = [candidate for candidate in one.search.candidates if len(candidate.keep) == size]
        sums = [sum(score.values[block] for block in mask.keep) for mask in masks]
        tau = rank_correlation(sums, [-mask.valid_mse_healed[0] for mask in masks])
        taus += [] if tau is None else [tau]
    return float(np.mean(taus)) if taus else None


def with_more_windows(one: Measured, name: str) -> float | None:
    """Kendall's tau between a score's orders on few and on many windows, mean over the draws."""
    found = one.scores.sensitivity
    if found is None or name not in found.agreement:
        return None
    taus = [found.agreement[name][few][many] for few, many in few_against_many(found.settings)]
    mean, pairs = mean_of(taus)
    return mean if pairs else None


def count_distance(one: Measured, count: int | None) -> float | None:
    """How far a number of blocks lies from the one that the search chose."""
    chosen = one.chosen_count
    return None if count is None or chosen is None else float(abs(count - chosen))


def mean_of(values: Sequence[float | None]) -> tuple[float, int]:
    """The mean of those that are defined (NaN where none is), and how many these are."""
    known = [value for value in values if value is not None]
    return (float(np.mean(known)) if known else float("nan")), len(known)


def score_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """One row per score, over all pairs: what it agrees with, and with itself on more windows."""
    rows = []
    for name in dict.fromkeys(name for one in measured for name in one.scores.scores):
        row: dict[str, Any] = {"score": name}
        for what, agreement in (
            ("removal_loss", with_removal_loss),
            ("healed_error", with_healed_error),
        ):
            found = [agreement(one, one.scores.scores.get(name)) for one in measured]
            row[what], row[f"pairs ({what})"] = mean_of(found)
        moves = [with_more_windows(one, str(name)) for one in measured]
        row["more_windows"], row["pairs (more_windows)"] = mean_of(moves)
        rows.append(row)
    return pd.DataFrame(rows)


def order_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Every combination of the options that decide the order, the best agreement first."""
    rows = []
    for combination in product(*(CHANGES[name] for name in ORDER)):
        change = dict(zip(ORDER, combination, strict=True))
        options = FewLayer(**change)
        change["exempt"] = " and ".join(options.exempt) or "none"
        found = _agreements(measured, [one.few_layer(options) for one in measured])
        rows.append({**change, **found, "mark": DEFAULT if options == FewLayer() else ""})
    table = pd.DataFrame(rows).sort_values("removal_loss", ascending=False, kind="stable")
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.reset_index(drop=True)


def _agreements(measured: Sequence[Measured], scores: Sequence[Score | None]) -> dict[str, float]:
    pairs = list(zip(measured, scores, strict=True))
    distances = [count_distance(one, score.count if score else None) for one, score in pairs]
    return {
        "removal_loss": mean_of([with_removal_loss(one, score) for one, score in pairs])[0],
        "healed_error": mean_of([with_healed_error(one, score) for one, score in pairs])[0],
        "distance_of_count": mean_of(distances)[0],
    }


def count_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Every tau, and the control: the mean automatic count and its distance to the search's."""
    rows = []
    for tau in TAUS:
        scores = [one.few_layer(FewLayer(tau=tau)) for one in measured]
        counts = [None if score is None else score.count for score in scores]
        rows.append((f"tau {tau}", counts, DEFAULT if tau == FewLayer().tau else ""))
    rows.append((f"always {CONTROL} blocks", [CONTROL] * len(measured), "control"))
    table = []
    for name, counts, mark in rows:
        distances = [count_distance(*pair) for pair in zip(measured, counts, strict=True)]
        distance, pairs = mean_of(distances)
        mean_count = mean_of([None if count is None else float(count) for count in counts])[0]
        table.append(
            {"count": name, "mean": mean_count, "distance": distance, "pairs": pairs, "mark": mark}
        )
    return pd.DataFrame(table)


def main(roots: Sequence[str]) -> None:
    """Prints the three tables. Exits with a message where there is nothing to read."""
    measured = [one for root in roots for one in read_root(Path(root))]
    if not measured:
        raise SystemExit("usage: python -m tests.bench.scores ROOT... (each with scores/*/*.json)")
    names = ", ".join(f"{one.scores.dataset}/{one.scores.model}" for one in measured)
    print(f"{len(measured)} pairs: {names}\n\nMean Kendall tau of every score:\n")
    print(markdown_of(score_table(measured)))
    orders = order_table(measured)
    shown = orders[(orders["rank"] <= SHOWN) | (orders["mark"] == DEFAULT)]
    print(f"Options of few_layer, by removal loss, {SHOWN} of {len(orders)} and the default:\n")
    print(markdown_of(shown))
    print("Its automatic count against the number of blocks that the search chose:\n")
    print(markdown_of(count_table(measured)))


if __name__ == "__main__":
    main(sys.argv[1:])
