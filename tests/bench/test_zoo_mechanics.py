"""The table of mechanics counts every law of the contract, and what is broken shows."""

from collections import Counter

from tests.bench.zoo_mechanics import GROUPS, row
from tests.tasks.models.zoo.contract import Contract
from tests.tasks.models.zoo.test_patchtst import TestPatchTst as PatchTst  # no test here


def test_every_law_is_in_one_group() -> None:
    grouped = [law for group in GROUPS.values() for law in group]
    assert sorted(grouped) == sorted(name for name in vars(Contract) if name.startswith("test_"))


def test_a_row_counts_what_passed_and_names_what_broke() -> None:
    first, second, *_ = GROUPS
    passed = {(law, "passed"): 1 for law in GROUPS[first]}
    broken = {(GROUPS[second][0], "failed"): 2}
    name, blocks, parameters, *cells = row("TestPatchTst", PatchTst, Counter(passed | broken))
    assert (name, blocks) == ("patchtst: PatchTst", "4")
    assert parameters.endswith("(1)")
    assert cells == [f"{len(passed)} pass", "2 broken", *["-"] * (len(GROUPS) - 2)]
