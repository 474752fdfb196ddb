"""How `few_layer` moves with its own options, from matrices that are stored: no new pass."""

from collections.abc import Sequence
from typing import Any

from tasks.artifacts.scoring import OptionChange, Score
from tasks.masks.mask import own_mask
from tasks.scorers.activations import Activations
from tasks.scorers.few_layer import few_layer
from tasks.scorers.table import join_stacks
from tasks.searchers.rungs import rank_correlation
from tasks.sections.scoring import FewLayer

CHANGES: dict[str, list[Any]] = {
    "alpha": [0.25, 0.5, 0.75, 1.0],
    "predecessors": [1, 2, 3, 5, 8],
    "combine": ["mean", "product"],
    "tau": [0.2, 0.3, 0.4, 0.5, 0.7, 0.9],
    "exempt": [[], ["first"], ["first", "last"]],
}


def few_layer_changes(stacks: Sequence[Activations], options: FewLayer) -> list[OptionChange]:
    """Every option changed alone, the others as in `options`; the run's own values among them."""

    def scored(changed: FewLayer) -> Score:
        return join_stacks([few_layer(one, changed) for one in stacks])

    own = scored(options)
    changes: list[OptionChange] = []
    for option, values in CHANGES.items():
        chosen = getattr(options, option)
        for value in values if chosen in values else [*values, chosen]:
            score = scored(options.model_copy(update={option: value}))
            assert score.count is not None
            changes.append(
                OptionChange(
                    option=option,
                    value=value,
                    is_own=value == chosen,
                    agreement=rank_correlation(own.values, score.values),
                    count=score.count,
                    keep=list(own_mask(score, score.count)),
                )
            )
    return changes
