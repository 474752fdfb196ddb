"""Do other training seeds and other horizons keep the same blocks? From the cells of a study.

The stage `stability` changes the windows under one trained model; the cells of a study are models
trained anew, so here the choice itself, made after healing, is compared.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from tasks.artifacts.study import Choice
from tasks.metrics.agreement import ROUNDING, SAMPLES, mean_jaccard, rank_agreement
from tasks.metrics.stability import Answer, consensus

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
    rows: list[dict[str, Any]] = []
    for axis, words in AXES.items():
        for group in _groups(choices, axis):
            found = _agreement(group)
            if found:
                where = {name: getattr(group[0], name) for name in PLACE} | {axis: None}
                rows.append({"over": words, **where, **found})
    return pd.DataFrame(rows).astype({"horizon": "Int64", "seed": "Int64"} if rows else {})


def _groups(choices: Sequence[Choice], axis: str) -> list[list[Choice]]:
    """The choices that differ in nothing but the axis, each group and all groups in order."""
    ordered = sorted(choices, key=lambda choice: tuple(getattr(choice, name) for name in PLACE))
    groups: dict[tuple[Any, ...], list[Choice]] = {}
    for choice in ordered:
        place = tuple(getattr(choice, name) for name in PLACE if name != axis)
        groups.setdefault(place, []).append(choice)
    return list(groups.values())


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


def pooled_p_value(
    groups: Sequence[Sequence[Choice]], axis: str, *, without: Sequence[int] = ()
) -> float:
    """How often the masks of all groups would agree as much if blocks' numbers meant nothing.

    In every cell (one value of the axis) the blocks are renumbered at random, the same way in all
    groups, because the models of a cell may have their pretraining in common. Blocks in `without`
    are set aside first.
    """
    blocks = [block for block in range(groups[0][0].num_blocks) if block not in without]
    num_blocks = len(blocks)
    cells = sorted({getattr(choice, axis) for group in groups for choice in group})
    kept = [
        np.array([[block in one.keep for block in blocks] for one in group]) for group in groups
    ]
    places = [[cells.index(getattr(choice, axis)) for choice in group] for group in groups]
    generator = np.random.default_rng(0)
    numbers = generator.random((SAMPLES, len(cells), num_blocks)).argsort(axis=2)
    numbers = np.concatenate([np.broadcast_to(np.arange(num_blocks), numbers[:1].shape), numbers])
    means = [
        mean_jaccard(np.take_along_axis(masks[None], numbers[:, where], axis=2))
        for masks, where in zip(kept, places, strict=True)
    ]
    observed, *drawn = np.mean(means, axis=0)
    return float((1 + np.sum(np.array(drawn) >= observed - ROUNDING)) / (1 + SAMPLES))


def answer_table(choices: Sequence[Choice], table: pd.DataFrame) -> pd.DataFrame:
    """Per axis, model and share: means over the rows of `agreement_table`, and their answers.

    `p` is of all datasets together, see `pooled_p_value`; so is `p_without_block_0`, because most
    models keep that block.
    """
    rows = []
    axes = {words: axis for axis, words in AXES.items()}
    for place, group in table.groupby(["over", "model", "share"], sort=False):
        over, model, share = str(place[0]), place[1], place[2]
        own = [one for one in choices if (one.model, one.share) == (model, share) and one.keep]
        pooled = [found for found in _groups(own, axes[over]) if len(found) > 1]
        counts = group["answer"].value_counts()
        tau = f"tau {MAIN_SCORE}"
        rows.append(
            {
                **dict(zip(("over", "model", "cap"), place, strict=True)),
                "comparisons": len(group),
                "jaccard": float(group["jaccard"].mean()),
                "by_chance": float(group["by_chance"].mean()),
                "p": pooled_p_value(pooled, axes[over]),
                "p_without_block_0": pooled_p_value(pooled, axes[over], without=[0]),
                tau: float(group[tau].mean()) if tau in group else float("nan"),
                **{words: int(counts.get(words, 0)) for words in WORDS.values()},
            }
        )
    return pd.DataFrame(rows)
