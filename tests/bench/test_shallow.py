"""The comparison of pruned models with shallow ones that were pretrained at once."""

import pandas as pd
import pytest

from tests.bench.shallow import compare, summary


def _task(model: str, blocks: int, kept: int, full: float, pruned: float) -> dict[str, object]:
    return {
        "model": model,
        "dataset": "etth1",
        "horizon": 96,
        "seed": 0,
        "blocks": blocks,
        "kept": kept,
        "full": full,
        "pruned": pruned,
        "valid_full": 1.0,
        "valid_pruned": 1.1,
    }


def test_the_pruned_model_of_the_same_depth_stands_against_the_full_shallow_one() -> None:
    deep = pd.DataFrame(
        [
            _task("foundation-nano-all", 12, 3, 0.3, 0.36),
            _task("foundation-nano-all", 12, 6, 0.3, 0.31),  # twice as deep: no rival
            _task("foundation-nano-tenth", 12, 3, 0.3, 0.5),  # not in the other study
        ]
    )
    shallow = pd.DataFrame([_task("foundation-nano-3-all", 3, 1, 0.4, 0.45)])
    pairs = compare(deep, shallow)
    assert pairs["difference"].tolist() == [pytest.approx(-0.1)]
    assert pairs["promised"].tolist() == [pytest.approx(0.1)]
    counted = summary(pairs).iloc[0]
    assert (counted["tasks"], counted["ahead"], counted["ahead_on_validation"]) == (1, 1, 0)
