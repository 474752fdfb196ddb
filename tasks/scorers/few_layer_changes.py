"""How `few_layer` moves with its own options, from matrices that are stored: no new pass."""

from typing import Any

import numpy as np
from jaxtyping import Float

from tasks.artifacts.scoring import OptionChange
from tasks.masks.mask import top_mask
from tasks.scorers.few_layer import combine
from tasks.searchers.rungs import rank_correlation
from tasks.sections.scoring import FewLayer

CHANGES: dict[str, list[Any]] = {
    "alpha": [0.25, 0.5, 0.75, 1.0],
    "predecessors": [1, 2, 3, 5, 8],
    "combine": ["mean", "product"],
    "tau": [0.2, 0.3, 0.4, 0.5, 0.7, 0.9],
    "exempt": [[], ["first"], ["first", "last"]],
}


def few_layer_changes(
    cosine: Float[np.ndarray, "states states"],
    diversity: Float[np.ndarray, " blocks"],
    options: FewLayer,
) -> list[OptionChange]:
    """Every option changed alone, the others as in `options`; the run's own values among them."""
    own = combine(cosine, diversity, options)
    changes: list[OptionChange] = []
    for option, values in CHANGES.items():
        chosen = getattr(options, option)
        for value in values if chosen in values else [*values, chosen]:
            score = combine(cosine, diversity, options.model_copy(update={option: value}))
            assert score.count is not None
            changes.append(
                OptionChange(
                    option=option,
                    value=value,
                    is_own=value == chosen,
                    agreement=rank_correlation(own.values, score.values),
                    count=score.count,
                    keep=list(top_mask(score.values, score.count)),
                )
            )
    return changes
