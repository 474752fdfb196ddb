"""The figure of error against cost, above all where the cost is a measured latency."""

import warnings
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from tasks.figures.cost import cost_of_size, draw_error_vs_cost
from tasks.figures.inputs import Pair, read_pair
from tasks.figures.style import to_svg
from tasks.masks.mask import format_mask
from tests.tasks.figures.made_up_run import write_run
from tests.tasks.figures.made_up_scores import BLOCKS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    root = tmp_path_factory.mktemp("run")
    write_run(root, datasets=["demo"], models=["tsfm-pico"])
    return read_pair(root, dataset="demo", model="tsfm-pico")


def measured(pair: Pair, costs: dict[int, float]) -> Pair:
    """The pair as if keeping n blocks had the measured latency `costs[n]` of the full model."""
    trials, front = (
        table.assign(cost=table["num_kept"].map(costs)) for table in (pair.trials, pair.front)
    )
    candidates = [
        made.model_copy(update={"cost": costs[len(made.keep)]}) for made in pair.search.candidates
    ]
    search = pair.search.model_copy(update={"candidates": candidates})
    return replace(pair, trials=trials, front=front, search=search)


def test_with_the_share_as_cost_a_size_costs_its_share(pair: Pair) -> None:
    cost = cost_of_size(pair)
    sizes = range(BLOCKS + 1)
    assert [cost(size) for size in sizes] == pytest.approx([size / BLOCKS for size in sizes])


def test_with_measured_latency_the_line_goes_through_the_full_model(pair: Pair) -> None:
    cost = cost_of_size(measured(pair, {size: 0.4 + 0.05 * size for size in range(BLOCKS + 1)}))
    assert cost(BLOCKS) == 1.0
    assert cost(2) == pytest.approx(0.5)
    assert cost(0) == pytest.approx(0.4)


def of_one_size(pair: Pair, costs: list[float]) -> Pair:
    """The pair as if only masks of the chosen size had been tried, at these latencies in turn."""
    size = len(pair.prune.keep)
    trials, front = (table[table["num_kept"] == size] for table in (pair.trials, pair.front))
    tried = [made for made in pair.search.candidates if len(made.keep) == size]
    candidates = [
        made.model_copy(update={"cost": cost})
        for made, cost in zip(tried, cycle(costs), strict=False)
    ]
    search = pair.search.model_copy(update={"candidates": candidates})
    trials = trials.assign(cost=np.resize(costs, len(trials)))
    return replace(pair, trials=trials, front=front, search=search)


def assert_drawn_whole(pair: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that collapses is a warning
        svg = to_svg(draw_error_vs_cost(pair), name="cost", label="error against cost")
    assert "full untuned" in svg


@pytest.mark.parametrize(
    "costs",
    [
        {2: 0.9, 3: 0.5, 4: 0.1},  # fewer blocks measured as slower, as on a busy machine
        {2: 1.0, 3: 0.4, 4: 0.28},
        {2: 0.01, 3: 0.5, 4: 1.4},
        {2: 5.0, 3: 4.0, 4: 6.0},
        {2: 1.0, 3: 1.0, 4: 1.0},
    ],
)
def test_latencies_that_are_noise_still_make_a_figure(pair: Pair, costs: dict[int, float]) -> None:
    noisy = measured(pair, costs)
    line = [cost_of_size(noisy)(size) for size in range(BLOCKS + 1)]
    assert np.all(np.diff(line) >= 0)
    assert 0 <= line[0] <= line[-1] == 1.0
    assert_drawn_whole(noisy)


@pytest.mark.parametrize("costs", [[-0.5, 0.5], [-0.8, 0.2, 0.1], [0.001], [3.0, -2.9]])
def test_one_size_whose_latencies_cancel_out_still_makes_a_figure(
    pair: Pair, costs: list[float]
) -> None:
    assert_drawn_whole(of_one_size(pair, costs))


def test_the_chosen_mask_stands_at_its_own_cost_in_both_halves(pair: Pair) -> None:
    """Sublayers of one number differ in latency, so the line of sizes is not where it was found."""
    is_chosen = pair.trials["keep"] == format_mask(pair.prune.keep)
    trials = pair.trials.assign(cost=pair.trials["cost"].where(~is_chosen, 0.123))
    axes = draw_error_vs_cost(replace(pair, trials=trials)).axes
    stars = [line for half in axes for line in half.lines if line.get_marker() == "*"]
    assert [list(star.get_xdata()) for star in stars] == [[0.123], [0.123]]
    label = next(text for text in axes[1].texts if text.get_text() == "pruned")
    assert label.xy[0] == 0.123
