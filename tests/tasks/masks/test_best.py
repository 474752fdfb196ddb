"""The best mask of one size before healing."""

import itertools

import pytest

from tasks.masks.best import best_mask
from tasks.training.loop import validation_mse
from tests.tiny import tiny_model, tiny_windows


def test_exhaustive_search_finds_the_lowest_error() -> None:
    model, windows = tiny_model(), tiny_windows()

    def error(mask: tuple[int, ...]) -> float:
        with model.only(mask):
            return validation_mse(model, windows)

    best = min(itertools.combinations(range(5), 2), key=error)
    assert best_mask(model, windows, 2, exhaustive_limit=10) == best


def test_greedy_removal_takes_the_cheapest_block_each_time() -> None:
    model, windows = tiny_model(), tiny_windows()
    four = best_mask(model, windows, 4, exhaustive_limit=5)
    three = best_mask(model, windows, 3, exhaustive_limit=0)
    assert set(three) < set(four)


@pytest.mark.parametrize("limit", [0, 100])
def test_all_blocks_need_no_search(limit: int) -> None:
    assert best_mask(tiny_model(), tiny_windows(), 5, exhaustive_limit=limit) == (0, 1, 2, 3, 4)
