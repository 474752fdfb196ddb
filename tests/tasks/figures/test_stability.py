"""Whether the report says that the layers are a finding or a draw."""

from tasks.figures.stability import stability_sentences, stability_table
from tasks.metrics.stability import Stability
from tests.tasks.figures.made_up_run import made_up_stability


def sentences(stability: Stability) -> str:
    return "\n".join(stability_sentences(stability))


def changed(stability: Stability, masks: list[list[int]]) -> Stability:
    settings = [
        setting.model_copy(update={"masks": {"search": mask}})
        for setting, mask in zip(stability.settings, masks, strict=False)
    ]
    return stability.model_copy(update={"settings": settings})


def test_settings_that_agree_are_a_finding() -> None:
    text = sentences(made_up_stability("demo", "tsfm-pico"))
    assert "A finding: over 6 settings (calibration windows, half of the training period" in text
    assert "Jaccard 1.00, by chance 0.16, p < 0.001" in text
    assert "Not varied here: training seed. The command fewlayers study compares" in text


def test_settings_that_share_block_0_alone_are_half_a_finding() -> None:
    text = sentences(made_up_stability("weather", "tsfm-pico"))
    assert "Only block 0 is a finding, the others are a draw" in text


def test_a_choice_that_no_setting_makes_is_said() -> None:
    made = made_up_stability("demo", "tsfm-pico").model_copy(update={"keep": [3, 7, 9]})
    assert "Not these: over 6 settings" in sentences(made)


def test_settings_that_share_nothing_are_a_draw() -> None:
    made = made_up_stability("demo", "tsfm-pico")
    apart = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert "A draw: over 4 settings" in sentences(changed(made, apart))


def test_nothing_measured_is_said() -> None:
    made = made_up_stability("demo", "tsfm-pico").model_copy(update={"settings": []})
    assert "cannot be told" in sentences(made)
    assert stability_table(made).rows == []


def test_table_has_a_row_per_change_and_chooser() -> None:
    table = stability_table(made_up_stability("demo", "tsfm-pico"))
    kinds = [(row[0], row[1], row[2]) for row in table.rows]
    assert kinds[0] == ("calibration windows", "3", "search")
    assert ("horizon", "2", "removal loss") in kinds
    assert kinds[-3:] == [
        ("all of these", "6", "search"),
        ("all of these", "6", "few layer"),
        ("all of these", "6", "removal loss"),
    ]
    assert all(len(row) == len(table.headers) for row in table.rows)
