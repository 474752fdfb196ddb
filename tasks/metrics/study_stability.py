"""Do other training seeds and other horizons keep the same blocks? From the cells of a study.

The stage `stability` changes the windows under one trained model; the cells of a study are models
trained anew, so here the choice itself, made after healing, is compared.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks.artifacts.study import Choice
from tasks.metrics.stability import SAMPLES, Answer, consensus, rank_agreement

AXES: Final = {"seed": "training seed", "horizon": "horizon"}  # column: in words
PLACE: Final = ["dataset", "model", "horizon", "seed", "share"]
WORDS: Final[dict[Answer, str]] = {
    "finding": "finding",
    "partly": "finding for some blocks",
    "draw": "draw",
}
MAIN_SCORE: Final = "removal_loss"


def agreement_table(choices: Sequence[Choice]) -> pd.DataFrame:
    """One row per axis, dataset, model and what does not change, where at least two cells differ.

    Over seeds the horizon and the share stay, over horizons the seed and the share. `jaccard` is
    the mean over all pairs of chosen masks, `by_chance` its expectation over random masks of
    these sizes, `p` the share of random masks that agree as much; `answer` and `settled` see
    `consensus`; `tau X` is the mean Kendall tau between the orders of a score, `p X` the share of
    random orders that agree as much. The same choices in any order give the same table.
    """
    ordered = sorted(choices, key=lambda choice: tuple(getattr(choice, name) for name in PLACE))
    rows: list[dict[str, Any]] = []
    for axis, words in AXES.items():
        fixed = [name for name in PLACE if name != axis]
        groups: dict[tuple[Any, ...], list[Choice]] = {}
        for choice in ordered:
            groups.setdefault(tuple(getattr(choice, name) for name in fixed), []).append(choice)
        for place, group in groups.items():
            found = _agreement(group)
            if found:
                where = dict.fromkeys(PLACE) | dict(zip(fixed, place, strict=True))
                rows.append({"over": words, **where, **found})
    return pd.DataFrame(rows).astype({"horizon": "Int64", "seed": "Int64"} if rows else {})


def _agreement(group: Sequence[Choice]) -> dict[str, Any] | None:
    """The columns of one row; None for fewer than two cells."""
    masks, first = [choice.keep for choice in group], group[0]
    generator = np.random.default_rng(0)
    found = consensus(masks, first.num_blocks, samples=SAMPLES, generator=generator)
    if found is None:
        return None
    row: dict[str, Any] = {
        "cells": len(group),
        "jaccard": found.whole.jaccard,
        "by_chance": found.whole.by_chance,
        "p": found.whole.p_value,
        "answer": WORDS[found.answer],
        "settled": " ".join(map(str, found.settled)),
    }
    for name in dict.fromkeys(name for choice in group for name in choice.scores):
        values = [choice.scores[name] for choice in group if name in choice.scores]
        ranks = rank_agreement(values, samples=SAMPLES, generator=np.random.default_rng(0))
        if ranks is not None:
            row |= {f"tau {name}": ranks.tau, f"p {name}": ranks.p_value}
    return row


def answer_table(table: pd.DataFrame) -> pd.DataFrame:
    """Per axis, model and share: means over the rows of `agreement_table`, and their answers."""
    rows = []
    for place, group in table.groupby(["over", "model", "share"], sort=False):
        counts = group["answer"].value_counts()
        tau = f"tau {MAIN_SCORE}"
        rows.append(
            {
                **dict(zip(("over", "model", "cap"), place, strict=True)),
                "comparisons": len(group),
                "jaccard": float(group["jaccard"].mean()),
                "by_chance": float(group["by_chance"].mean()),
                tau: float(group[tau].mean()) if tau in group else float("nan"),
                **{words: int(counts.get(words, 0)) for words in WORDS.values()},
            }
        )
    return pd.DataFrame(rows)
