"""`python -m tests.bench.zoo_mechanics`: what holds for every published family, at a tiny size.

Runs the contract of tests/tasks/models/zoo/ and prints its outcome as a Markdown table: one row per
design, one column per group of laws. Exit status 1 where one is broken.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.bench.zoo import quarter
from tests.tasks.models.zoo.contract import Contract
from tests.tasks.models.zoo.custom_functions import put_in_place

GROUPS = {
    "stacks found, each block matters": (
        "test_the_stacks_are_the_largest_lists_of_alike_blocks",
        "test_every_block_matters",
        "test_the_trace_has_a_state_before_and_after_every_block",
        "test_of_a_forecast_in_several_passes_the_first_is_traced",
        "test_parameter_counts_add_up",
    ),
    "skipped = removed, bit for bit": (
        "test_skipping_equals_removal",
        "test_no_block_at_all_still_forecasts",
    ),
    "saved, pruned again, by streaming": (
        "test_saved_and_pruned_again_it_is_the_same",
        "test_pruned_by_streaming_its_checkpoint_is_that_of_the_smaller_model",
        "test_a_model_folder_pruned_by_streaming_is_that_of_the_smaller_model",
    ),
    "its own library reads it, same forecast": (
        "test_its_own_library_reads_it_and_forecasts_the_same",
    ),
    "learns": (
        "test_four_training_steps_lower_the_loss",
        "test_outputs_are_those_of_a_window",
        "test_gradients_reach_every_block_through_the_forecast",
    ),
    "any horizon, gaps": (
        "test_forecasts_any_horizon_and_any_length_of_context",
        "test_a_short_forecast_begins_a_long_one",
        "test_missing_values_are_not_values",
        "test_a_context_of_gaps_or_of_one_value_gives_finite_forecasts",
    ),
}
OPTIONS = ("-q", "-p", "no:cacheprovider", "--no-header", "--no-summary", "--durations=0")


class Outcomes:
    """A plugin of pytest: how often each law passed, failed and was skipped, by test class."""

    def __init__(self) -> None:
        self.classes: dict[str, type[Contract]] = {}
        self.counts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves only the laws of the contract."""
        laws = {law for group in GROUPS.values() for law in group}
        kept = []
        for item in items:
            kind: Any = getattr(item, "cls", None)
            name = getattr(item, "originalname", item.name)
            if kind is not None and issubclass(kind, Contract) and name in laws:
                self.classes[kind.__name__] = kind
                kept.append(item)
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts what a law came to; a broken set-up counts as a failure."""
        if report.when == "call" or report.outcome != "passed":
            *_, kind, test = report.nodeid.split("::")
            self.counts[kind][(test.partition("[")[0], report.outcome)] += 1


def row(name: str, kind: type[Contract], counts: Mapping[tuple[str, str], int]) -> list[str]:
    """The cells of a design."""
    model = kind().build()
    keep = quarter(model.num_blocks)
    whole = model.parameter_counts()["all"]
    kept = model.with_blocks(keep).parameter_counts()["all"]
    blocks = " + ".join(str(one) for one in model.stack_sizes)
    cells = [
        f"{model.config.family}: {name.removeprefix('Test')}",
        blocks,
        f"{whole:,} -> {kept:,} ({len(keep)})",
    ]
    for laws in GROUPS.values():
        passed = sum(counts.get((law, "passed"), 0) for law in laws)
        failed = sum(counts.get((law, "failed"), 0) for law in laws)
        cells.append(f"{failed} broken" if failed else f"{passed} pass" if passed else "-")
    return cells


def main() -> None:
    """Runs the contract and prints the table."""
    argparse.ArgumentParser(
        prog="python -m tests.bench.zoo_mechanics",
        description="The laws that every published family keeps, on tiny models; a minute.",
    ).parse_args()
    outcomes = Outcomes()
    folder = Path(ROOT) / "tests/tasks/models/zoo"
    status = pytest.main([*OPTIONS, str(folder)], plugins=[outcomes])
    header = ["design", "blocks", "parameters, whole -> blocks kept", *GROUPS]
    print("\n| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch)  # what the family `custom` is built of
        for name, kind in outcomes.classes.items():
            print("| " + " | ".join(row(name, kind, outcomes.counts[name])) + " |")
    sys.exit(int(status))


if __name__ == "__main__":
    main()
