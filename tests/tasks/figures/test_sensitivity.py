"""The tables of how the scores move."""

from tasks.artifacts.scoring import OptionChange
from tasks.figures.sensitivity import calibration_table, option_table
from tasks.figures.units import Units
from tests.tasks.figures.made_up_scores import made_up_sensitivity


def test_the_own_windows_are_compared_with_all_and_few_with_many():
    table = calibration_table(made_up_sensitivity(["few_layer", "cka"]))
    assert table.headers == ["windows", "few layer", "cka"]
    assert table.rows == [
        ["256 spaced (this run) against 64 spaced", "0.71", "0.71"],
        ["256 spaced (this run) against 1,024 spaced", "0.93", "0.93"],
        ["64 spaced against 1,024 spaced", "0.64", "0.64"],
    ]


def test_the_runs_own_options_are_marked():
    changes = [
        OptionChange(option="exempt", value=value, is_own=own, agreement=tau, count=2, keep=[0, 3])
        for value, own, tau in (([], False, None), (["first", "last"], True, 1.0))
    ]
    table = option_table(changes, Units("block"))
    assert table.rows == [
        ["exempt", "none", "n/a", "2", "0, 3"],
        ["exempt", "first, last", "1.00", "2", "0, 3"],
    ]
    assert table.marked == {1}
