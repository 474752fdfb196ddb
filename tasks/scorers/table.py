"""The table of all scores: what each needs measured, and the function that makes it a score.

A score never sees the model. Every kind of evidence is measured once, and only when a chosen
score needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from tasks.artifacts.scoring import Score
from tasks.masks.mask import own_mask, sizes_by_stack
from tasks.masks.trie import MAX_BYTES
from tasks.models.base import ForecastModel
from tasks.scorers.activations import Activations, collect
from tasks.scorers.angular import angular
from tasks.scorers.block_influence import block_influence
from tasks.scorers.cka import cka
from tasks.scorers.few_layer import few_layer
from tasks.scorers.gate import gate
from tasks.scorers.gates import learn_gates
from tasks.scorers.gradients import measure_gradients
from tasks.scorers.removal_greedy import removal_greedy
from tasks.scorers.removal_loss import removal_loss
from tasks.scorers.removals import measure_greedy, measure_removals
from tasks.scorers.taylor import taylor
from tasks.sections.scoring import ScoreName, Scoring

Kind = Literal["activations", "removals", "greedy", "gradients", "gates"]
Evidence = Any  # of the class that belongs to its kind


@dataclass(frozen=True)
class Scorer:
    """One score: the evidence it needs and the function of evidence and options."""

    needs: Kind
    score: Callable[[Evidence, Scoring], Score]


def join_stacks(scores: Sequence[Score]) -> Score:
    """One score over the blocks of all stacks, each scored within its own.

    What it says of blocks of two stacks cannot be compared, so its masks keep of every stack the
    number that its own count says, or else its share.
    """
    if len(scores) == 1:
        return scores[0]
    depths = [len(score.values) for score in scores]
    counts = [score.count for score in scores if score.count is not None]
    count = sum(counts) if len(counts) == len(scores) else None
    sizes = {size: sizes_by_stack(depths, size) for size in range(1, sum(depths))}
    sizes |= {} if count is None else {count: counts}
    return Score(
        values=[value for score in scores for value in score.values],
        parameters=scores[0].parameters,
        count=count,
        masks={size: _join_masks(scores, parts) for size, parts in sizes.items()},
    )


def _join_masks(scores: Sequence[Score], sizes: Sequence[int]) -> list[int]:
    firsts = accumulate((len(score.values) for score in scores), initial=0)
    return [
        first + block
        for first, score, size in zip(firsts, scores, sizes, strict=False)
        for block in own_mask(score, size)
    ]


def by_stack(score: Callable[[Activations, Scoring], Score]) -> Scorer:
    """A score of activations, which knows one stack of blocks, for models of several."""
    return Scorer(
        "activations", lambda found, o: join_stacks([score(one, o) for one in found.stacks])
    )


SCORERS: dict[ScoreName, Scorer] = {
    "few_layer": by_stack(lambda found, o: few_layer(found, o.few_layer)),
    "block_influence": by_stack(lambda found, _: block_influence(found)),
    "angular": by_stack(lambda found, o: angular(found, o.angular)),
    "cka": by_stack(lambda found, o: cka(found, o.cka)),
    "removal_loss": Scorer("removals", lambda found, _: removal_loss(found)),
    "removal_greedy": Scorer("greedy", lambda found, _: removal_greedy(found)),
    "taylor": Scorer("gradients", lambda found, _: taylor(found)),
    "gate": Scorer("gates", lambda found, o: gate(found, o.gate)),
}


def kinds_of(names: Sequence[ScoreName]) -> list[Kind]:
    """The kinds of evidence these scores need, each once; activations always come first.

    The similarity matrices of the report are made of activations.
    """
    return list(dict.fromkeys(["activations", *(SCORERS[name].needs for name in names)]))


@dataclass(frozen=True)
class Meter:
    """Measures evidence of one model.

    Attributes:
        model: the model whose blocks are scored.
        options: batch size, and how gates are trained.
        seed: of what is drawn.
        max_bytes: of states kept while many masks are measured together, see `forecasts`.
    """

    model: ForecastModel
    options: Scoring
    seed: int
    max_bytes: int = MAX_BYTES

    def measure(self, kind: Kind, windows: Float[Tensor, "windows length"]) -> Evidence:
        """One kind of evidence on windows of context + horizon values."""
        model, batch_size = self.model, self.options.batch_size
        if kind == "activations":
            return collect(model, windows[:, : model.config.context], batch_size)
        if kind == "removals":
            return measure_removals(model, windows, max_bytes=self.max_bytes)
        if kind == "greedy":
            return measure_greedy(model, windows, max_bytes=self.max_bytes)
        if kind == "gradients":
            return measure_gradients(model, windows, batch_size)
        return learn_gates(model, windows, batch_size, self.options.gate, seed=self.seed)


def score_all(
    names: Sequence[ScoreName], evidence: Mapping[Kind, Evidence], options: Scoring
) -> dict[str, Score]:
    """The chosen scores, in their order."""
    return {name: SCORERS[name].score(evidence[SCORERS[name].needs], options) for name in names}
