"""The laws of windows: views, counts, no leak of validation into training."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.series import Series, SeriesSet, concatenate
from tasks.data.windows import (
    WindowSet,
    test_windows,
    training_windows,
    validation_windows,
)
from tasks.errors import DataError

test_windows.__test__ = False  # type: ignore[attr-defined]

CONTEXT, HORIZON = 5, 3
SPAN = CONTEXT + HORIZON

lengths = st.lists(
    st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=1, max_size=5
)  # length, share of training rows


def counted(shapes: list[tuple[int, float]]) -> SeriesSet:
    """Series whose values are their own positions in the shared array."""
    series, start = [], 0
    for index, (length, share) in enumerate(shapes):
        series.append(Series(f"s{index}", start, length, round(length * share), 0.0, 1.0))
        start += length
    return SeriesSet(np.arange(start, dtype=np.float32), tuple(series))


def rows_of(windows: WindowSet) -> np.ndarray:
    return windows.batch(torch.arange(len(windows))).numpy().astype(int)  # [windows, span]


def series_of(data: SeriesSet, row: int) -> Series:
    return next(one for one in data.series if one.start <= row < one.start + one.length)


@given(lengths)
def test_windows_of_each_range_are_all_that_fit(shapes: list[tuple[int, float]]) -> None:
    data = counted(shapes)
    training = sum(max(0, one.train_end - SPAN + 1) for one in data.series)
    validation = sum(
        max(0, one.length - SPAN + 1 - max(0, one.train_end - CONTEXT)) for one in data.series
    )
    for make, expected in ((training_windows, training), (validation_windows, validation)):
        if expected:
            assert len(make(data, CONTEXT, HORIZON)) == expected
        else:
            with pytest.raises(DataError, match="window fits"):
                make(data, CONTEXT, HORIZON)


@given(lengths)
def test_no_window_crosses_series_and_targets_stay_in_their_range(
    shapes: list[tuple[int, float]],
) -> None:
    data = counted(shapes)
    for make, is_training in ((training_windows, True), (validation_windows, False)):
        try:
            windows = make(data, CONTEXT, HORIZON)
        except DataError:
            continue
        for rows in rows_of(windows):
            one = series_of(data, rows[0])
            assert (np.diff(rows) == 1).all()
            assert rows[-1] < one.start + one.length
            border = one.start + one.train_end
            if is_training:
                assert rows[-1] < border
            else:
                assert rows[CONTEXT] >= border


@given(lengths, st.integers(0, 2**31))
def test_draws_are_valid_windows(shapes: list[tuple[int, float]], seed: int) -> None:
    data = counted(shapes)
    try:
        plain = training_windows(data, CONTEXT, HORIZON)
    except DataError:
        return
    weighted = training_windows(data, CONTEXT, HORIZON, weight=lambda one: one.length)
    for windows in (plain, weighted):
        index = windows.draw(50, torch.Generator().manual_seed(seed))
        assert int(index.min()) >= 0
        assert int(index.max()) < len(windows)


def test_weights_decide_how_often_a_series_is_drawn() -> None:
    data = counted([(1000, 1.0), (100, 1.0)])
    windows = training_windows(data, CONTEXT, HORIZON, weight=lambda one: 1.0)
    series, _ = windows.locate(windows.draw(4000, torch.Generator().manual_seed(0)))
    assert 0.45 < series.double().mean() < 0.55


def test_windows_are_views_on_the_shared_array() -> None:
    data = counted([(100, 0.7)])
    windows = training_windows(data, CONTEXT, HORIZON)
    assert windows.view.data_ptr() == data.values.ctypes.data
    assert windows.view.untyped_storage().nbytes() == data.values.nbytes


def test_locate_gives_the_place_of_every_window() -> None:
    data = counted([(20, 1.0), (3, 1.0), (15, 1.0)])
    windows = training_windows(data, CONTEXT, HORIZON)
    series, place = windows.locate(torch.arange(len(windows)))
    assert series.tolist() == [0] * 13 + [2] * 8
    assert place.tolist() == [*range(13), *range(8)]


@pytest.mark.parametrize("stride", [1, 2, 7])
def test_stride_takes_every_nth_window(stride: int) -> None:
    data = counted([(50, 0.1), (40, 0.1)])
    every = rows_of(test_windows(data, CONTEXT, HORIZON, stride=1))
    firsts = [series_of(data, row).start for row in every[:, 0]]
    expected = every[(every[:, 0] - firsts) % stride == 0]
    strided = rows_of(test_windows(data, CONTEXT, HORIZON, stride=stride))
    assert np.array_equal(strided, expected)


def test_spaced_windows_are_distinct_sorted_and_the_same_every_time() -> None:
    windows = training_windows(counted([(500, 1.0)]), CONTEXT, HORIZON)
    index = windows.spaced(64)
    assert len(index) == 64
    assert (torch.diff(index) > 0).all()
    assert torch.equal(index, windows.spaced(64))
    assert len(windows.spaced(10**6)) == len(windows)


def test_a_share_of_training_takes_the_last_rows() -> None:
    data = counted([(1000, 0.8)])
    rows = rows_of(training_windows(data, CONTEXT, HORIZON, share=0.1))
    assert rows.min() == 720
    assert rows.max() == 799


def test_a_share_shorter_than_a_window_is_padded_as_missing() -> None:
    data = counted([(100, 0.8), (1000, 0.8)])  # of the first, 8 rows are exactly a window
    plain = training_windows(data, CONTEXT, HORIZON, share=0.1)
    batch = plain.batch(torch.arange(len(plain)))
    assert len(plain) == 1 + (80 - SPAN + 1)
    assert not batch.isnan().any()
    few = training_windows(data, CONTEXT + 1, HORIZON, share=0.1)
    batch = few.batch(torch.arange(len(few)))
    assert len(few) == 3 + (80 - SPAN)  # half a context back of the short one
    assert batch[:3].isnan().sum(dim=1).tolist() == [3, 2, 1]
    assert torch.equal(batch[2, 1:], torch.arange(72.0, 80.0))
    assert not batch[3:].isnan().any()
    assert np.isfinite(data.values).all()
    assert len(training_windows(counted([(9, 1.0), (30, 1.0)]), CONTEXT + 5, HORIZON)) == 18


def test_concatenated_sets_keep_their_series_apart() -> None:
    first, second = counted([(30, 1.0)]), counted([(20, 1.0), (25, 1.0)])
    joined = concatenate([first, second])
    assert [one.start for one in joined.series] == [0, 30, 50]
    assert np.array_equal(joined.values[30:], second.values)
    windows = training_windows(joined, CONTEXT, HORIZON)
    assert len(windows) == sum(
        len(training_windows(one, CONTEXT, HORIZON)) for one in (first, second)
    )
