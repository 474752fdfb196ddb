"""The tables of the scores on made-up workspaces with known answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.scoring import CalibrationSensitivity, CalibrationSetting, Score, Scores
from tasks.artifacts.search import Candidate, SearchResult
from tasks.errors import ArtifactError
from tasks.masks.mask import Mask
from tasks.scorers.few_layer import combine
from tasks.sections.scoring import FewLayer
from tests.bench.scores import (
    Measured,
    count_table,
    main,
    order_table,
    read_root,
    score_table,
)

BLOCKS = 6
MASKS: list[Mask] = [(0,), (1,), (4,), (0, 1), (0, 5), (2, 3)]
TRUTH = FewLayer(alpha=0.25, predecessors=5, combine="product", exempt=["first", "last"], tau=0.5)


def write_pair(root: Path, model: str, seed: int, *, has_search: bool = True) -> list[float]:
    """A pair whose removal loss is what `few_layer` says with the options TRUTH.

    `upside_down` is the opposite, and a mask heals the better the more its blocks matter.
    """
    chance = np.random.default_rng(seed)
    cosine = np.corrcoef(chance.standard_normal((BLOCKS + 1, 9)))
    diversity = chance.random(BLOCKS)
    values = combine(cosine, diversity, TRUTH).values
    sensitivity = CalibrationSensitivity(
        settings=[CalibrationSetting(draw="spaced", windows=count) for count in (8, 2, 64)],
        agreement={"removal_loss": [[1, 0.9, 0.8], [0.9, 1, 0.1 * seed], [0.8, 0.1 * seed, 1]]},
    )
    named = {"removal_loss": values, "upside_down": [-value for value in values]}
    Scores(
        dataset="d", model=model, num_blocks=BLOCKS, calibration_windows=8, calibration_sha256="",
        calibration_source="validation",
        scores={name: Score(values=made, parameters={}) for name, made in named.items()},
        cosine=cosine.tolist(), cka=[], diversity=diversity.tolist(), sensitivity=sensitivity,
    ).write(root / f"scores/d/{model}.json")  # fmt: skip
    if has_search:
        write_search(root, model, values)
    return values


def write_search(root: Path, model: str, values: list[float], **changes: object) -> None:
    errors = {mask: 9.0 - sum(values[block] for block in mask) for mask in MASKS}
    candidates = [
        Candidate(
            keep=list(mask), source="few_layer", valid_mse_before=1.0, cost=0.1,
            valid_mse_healed=[error, 0.0][: 1 + place % 2],  # the second rung is not for all
        )
        for place, (mask, error) in enumerate(errors.items())
    ]  # fmt: skip
    result = SearchResult(
        dataset="d", model=model, num_blocks=BLOCKS, sizes=[1, 2], exhaustive=True, num_masks=6,
        num_trials=6, full_valid_mse=1.0, full_unhealed_mse=1.0, margin=0.02,
        candidates=candidates, rungs=[4],
        rank_correlations=[None], rank_correlation_by_size={}, keep=[0, 1, 5], within_margin=True,
        reason="",
    )  # fmt: skip
    result.model_copy(update=changes).write(root / f"search/d/{model}/search.json")


@pytest.fixture
def measured(tmp_path: Path) -> list[Measured]:
    for number, model in enumerate("ab"):
        write_pair(tmp_path / "one", model, number)
    write_pair(tmp_path / "two", "c", 2, has_search=False)
    return [pair for name in ("one", "two") for pair in read_root(tmp_path / name)]


def test_scores_agree_as_they_were_made_to(measured: list[Measured]) -> None:
    table = score_table(measured).set_index("score")
    assert list(table.loc["removal_loss"])[:4] == pytest.approx([1, 3, 1, 2])
    assert list(table.loc["upside_down"])[:4] == pytest.approx([-1, 3, -1, 2])


def test_orders_on_the_fewest_and_the_most_windows_are_compared(measured: list[Measured]) -> None:
    moved = score_table(measured).set_index("score")[["more_windows", "pairs (more_windows)"]]
    assert list(moved.loc["removal_loss"]) == pytest.approx([0.1, 3])  # of 0, 0.1 and 0.2
    assert moved.loc["upside_down", "pairs (more_windows)"] == 0


def test_the_options_the_truth_was_made_with_come_first(measured: list[Measured]) -> None:
    table = order_table(measured)
    first = table[table["removal_loss"] > 1 - 1e-9]
    made = first[["alpha", "predecessors", "combine", "exempt"]].to_numpy().tolist()
    assert [0.25, 5, "product", "first and last"] in made
    assert list(table["rank"]) == list(range(1, 4 * 5 * 2 * 3 + 1))
    assert table["removal_loss"].is_monotonic_decreasing


def test_only_the_default_is_marked(measured: list[Measured]) -> None:
    (row,) = order_table(measured).query("mark == 'default'").to_dict("records")
    default = FewLayer()
    assert (row["alpha"], row["predecessors"]) == (default.alpha, default.predecessors)
    assert (row["combine"], row["exempt"]) == (default.combine, "first")
    marks = count_table(measured).set_index("count")["mark"]
    assert marks[marks != ""].to_dict() == {
        f"tau {default.tau}": "default",
        "always 2 blocks": "control",
    }


def test_counts_are_compared_with_the_searchs_choice(
    measured: list[Measured], tmp_path: Path
) -> None:
    table = count_table(measured).set_index("count")
    assert table.loc["always 2 blocks", ["mean", "distance", "pairs"]].to_list() == [2, 1, 2]
    assert table["mean"].iloc[:-1].is_monotonic_increasing
    scores = [one.few_layer(FewLayer(tau=0.5)) for one in measured[:2]]
    expected = np.mean([abs(score.count - 3) for score in scores if score and score.count])
    assert table.loc["tau 0.5", "distance"] == expected
    write_search(tmp_path / "one", "a", [0.0] * BLOCKS, within_margin=False)
    assert count_table(read_root(tmp_path / "one"))["pairs"].unique().tolist() == [1]


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 0, has_search=False)
    (pair,) = read_root(tmp_path)
    table = score_table([pair]).set_index("score")
    assert pd.isna(table.loc["removal_loss", "healed_error"])
    bare = pair.scores.model_copy(update={"diversity": None})
    assert order_table([Measured(bare, None)])["removal_loss"].isna().all()


def test_the_command_prints_three_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path, "a", 0)
    main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.startswith("1 pairs: d/a\n")
    assert printed.count("\n|---|") == 3
    assert "| removal_loss | 1.000 | 1 | 1.000 | 1 | 0.000 | 1 |" in printed
    assert "| always 2 blocks | 2.000 | 1.000 | 1 | control |" in printed


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"usage: python -m tests.bench.scores ROOT"):
        main([str(tmp_path)])
    write_pair(tmp_path, "a", 0)
    (tmp_path / "search/d/a/search.json").write_text("{}")
    with pytest.raises(ArtifactError, match="not a SearchResult"):
        main([str(tmp_path)])
