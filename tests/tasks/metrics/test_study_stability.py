"""Whether the cells of a study keep the same blocks, from choices with known answers."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.artifacts.study import Choice
from tasks.metrics.agreement import expected_jaccard
from tasks.metrics.study import markdown_of
from tasks.metrics.study_stability import agreement_table, answer_table, pooled_p_value

BLOCKS = 12
FALLING = [1.0 / (1 + block) for block in range(BLOCKS)]


def choice(keep: list[int], *, seed: int = 0, horizon: int = 96, **changes: object) -> Choice:
    plain = {"dataset": "d", "model": "m", "share": 0.25, "scores": {"removal_loss": FALLING}}
    made = plain | {"num_blocks": BLOCKS, "keep": keep, "seed": seed, "horizon": horizon} | changes
    return Choice(**made)  # type: ignore[arg-type]


def seeds(masks: list[list[int]]) -> list[Choice]:
    return [choice(mask, seed=seed) for seed, mask in enumerate(masks)]


def one_row(choices: list[Choice]) -> dict[str, object]:
    (row,) = agreement_table(choices).to_dict("records")
    return row


def answers(choices: list[Choice]) -> pd.DataFrame:
    return answer_table(choices, agreement_table(choices))


@pytest.mark.parametrize(
    ("masks", "answer", "settled"),
    [
        ([[0, 1, 5]] * 5, "finding", "0 1 5"),
        ([[2, 7, 9]] * 2, "finding", ""),  # random masks share a block too often for a settled one
        ([[0, 5, other] for other in (1, 2, 3, 4, 6)], "finding for some blocks", "0 5"),
        ([[0, 1, 2], [3, 4, 5], [6, 7, 8]], "draw", ""),
        ([[0, 1, 2], [0, 1, 3], [0, 2, 5]], "finding for some blocks", "0"),
    ],
)
def test_answers_over_seeds(masks: list[list[int]], answer: str, settled: str) -> None:
    row = one_row(seeds(masks))
    assert (row["over"], row["cells"], row["answer"]) == ("training seed", len(masks), answer)
    assert row["settled"] == settled


def test_jaccard_is_the_mean_of_pairs_against_chance() -> None:
    row = one_row(seeds([[0, 1, 2], [0, 1, 3], [4, 5, 6]]))
    assert row["jaccard"] == pytest.approx((0.5 + 0 + 0) / 3)
    assert row["by_chance"] == pytest.approx(expected_jaccard(BLOCKS, 3, 3))


def test_tau_is_the_mean_of_pairs_of_orders() -> None:
    chance = np.random.default_rng(0)
    orders = [chance.random(BLOCKS).tolist() for _ in range(3)]
    row = one_row(
        [
            choice([0, 1, 2], seed=seed, scores={"removal_loss": order, "gate": FALLING})
            for seed, order in enumerate(orders)
        ]
    )
    taus = [stats.kendalltau(*pair).statistic for pair in itertools.combinations(orders, 2)]
    assert row["tau removal_loss"] == pytest.approx(np.mean(taus))
    assert row["p removal_loss"] > 0.05  # type: ignore[operator]
    assert row["tau gate"] == pytest.approx(1)
    assert row["p gate"] < 0.001  # type: ignore[operator]


def test_only_cells_that_differ_in_one_thing_are_compared() -> None:
    cells = [
        choice([0, 1, 2], seed=seed, horizon=horizon) for seed in (0, 1) for horizon in (96, 336)
    ]
    cells.append(choice([0, 1, 2], seed=2, share=0.5))
    cells.append(choice([0, 1, 2], seed=3, model="other"))
    table = agreement_table(cells[::-1])
    pd.testing.assert_frame_equal(table, agreement_table(cells))
    assert list(table["cells"]) == [2, 2, 2, 2]
    over_seeds, over_horizons = table.iloc[:2], table.iloc[2:]
    assert list(over_seeds["horizon"]) == [96, 336]
    assert over_seeds["seed"].isna().all()
    assert list(over_horizons["seed"]) == [0, 1]
    assert over_horizons["horizon"].isna().all()
    assert "d,m,,0,0.25" in table.to_csv(index=False)  # whole numbers stay whole


def test_one_cell_gives_no_row() -> None:
    assert agreement_table([choice([0, 1, 2])]).empty
    assert agreement_table([]).empty


def test_answers_are_counted_per_model_and_size() -> None:
    cells = [
        *seeds([[0, 1, 5]] * 3),
        *(choice(mask, seed=seed, dataset="e") for seed, mask in enumerate([[0, 1], [2, 3]])),
    ]
    (row,) = answers(cells).to_dict("records")
    assert (row["comparisons"], row["finding"], row["draw"]) == (2, 1, 1)
    assert row["finding for some blocks"] == 0
    assert row["jaccard"] == pytest.approx(0.5)
    assert row["tau removal_loss"] == pytest.approx(1)
    text = markdown_of(answers(cells))
    assert "| training seed | m | 25 % | 2 | 0.500 |" in text


def test_cells_without_a_score_have_no_tau() -> None:
    cells = [choice([0, 1, 2], seed=seed, scores={}) for seed in (0, 1)]
    (row,) = answers(cells).to_dict("records")
    assert np.isnan(row["tau removal_loss"])


def test_datasets_together_tell_more_than_each_alone() -> None:
    pairs = [([0, 1, 2], [0, 1, 3]), ([4, 5, 6], [4, 5, 7]), ([1, 2, 8], [1, 2, 9])]
    cells = [
        choice(mask, seed=seed, dataset=f"d{number}")
        for number, pair in enumerate(pairs)
        for seed, mask in enumerate(pair)
    ]
    (row,) = answers(cells).to_dict("records")
    assert row["draw"] == 3  # two of three blocks in common, 0.13 each
    assert row["p"] < 0.03
    assert row["p_without_block_0"] > row["p"]  # the first pair has one block less in common


def test_a_mask_of_block_0_alone_can_be_set_aside() -> None:
    (row,) = answers(seeds([[0], [0], [0]])).to_dict("records")
    assert row["p"] < 0.05
    assert row["p_without_block_0"] == 1.0


def test_what_the_datasets_of_a_cell_have_in_common_counts_once() -> None:
    shared = {0: [0, 1, 2], 1: [0, 1, 3]}  # all models of a seed keep the same blocks
    cells = [
        choice(mask, seed=seed, dataset=f"d{number}")
        for number in range(6)
        for seed, mask in shared.items()
    ]
    (row,) = answers(cells).to_dict("records")
    assert row["p"] == pytest.approx(28 / 220, abs=0.03)  # as of one dataset alone


def test_cells_that_agree_by_chance_are_seldom_called_more() -> None:
    chance = np.random.default_rng(4)

    def drawn() -> float:
        cells = [
            choice(sorted(chance.choice(BLOCKS, 3, replace=False).tolist()), seed=seed, dataset=one)
            for one in "abc"
            for seed in range(3)
        ]
        return pooled_p_value([cells[place : place + 3] for place in (0, 3, 6)], "seed")

    assert np.mean([drawn() <= 0.05 for _ in range(60)]) <= 0.12
