"""Pruning a deep pretrained model against pretraining a shallow one at once.

`python -m tests.bench.shallow` sets the studies `full` and `shallow` side by side, from their
tables in data/studies: the full model of `shallow` (3 blocks, pretrained, specialised and tuned on
as those of 12) against the pruned one of `full`, on the same test windows. Nothing is run.
"""

import pandas as pd

from flows.study import FOLDER
from tasks.metrics.study import markdown_of

PAIRED = ["model", "dataset", "horizon", "seed"]
DEEP_OF = {
    "foundation-nano-3-all": "foundation-nano-all",
    "foundation-nano-3-tenth": "foundation-nano-tenth",
}


def compare(deep: pd.DataFrame, shallow: pd.DataFrame) -> pd.DataFrame:
    """One row per task that both studies have: test errors, and the relative differences.

    Args:
        deep: tasks of `full`; the pruned models with as many blocks as the shallow ones count.
        shallow: tasks of `shallow`; the full models count.
    """
    named = shallow.assign(model=shallow["model"].map(DEEP_OF), kept=shallow["blocks"])
    pairs = named.merge(deep, on=[*PAIRED, "kept"], suffixes=("_shallow", "_deep"))
    return pd.DataFrame(
        {
            **{name: pairs[name] for name in PAIRED},
            "shallow": pairs["full_shallow"],
            "pruned": pairs["pruned_deep"],
            "difference": pairs["pruned_deep"] / pairs["full_shallow"] - 1,
            "promised": pairs["valid_pruned_deep"] / pairs["valid_full_shallow"] - 1,
        }
    ).sort_values(PAIRED, ignore_index=True)


def summary(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: how often the pruned model is ahead, and by how much."""
    ahead = pairs.assign(ahead=pairs["difference"] < 0, ahead_there=pairs["promised"] < 0)
    return ahead.groupby("model", as_index=False).agg(
        tasks=("dataset", "size"),
        ahead=("ahead", "sum"),
        ahead_on_validation=("ahead_there", "sum"),
        difference=("difference", "mean"),
        median=("difference", "median"),
    )


def main() -> None:
    """Prints the tasks and their summary; `promised` is the difference on validation."""
    pairs = compare(*(pd.read_csv(FOLDER / name / "tasks.csv") for name in ("full", "shallow")))
    print(markdown_of(pairs))
    print(markdown_of(summary(pairs)))


if __name__ == "__main__":
    main()
