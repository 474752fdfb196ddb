import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.splits import check_fits, rows_needed, split_rows
from tasks.errors import DataError
from tasks.sections.data import Split, Windows

shares = st.tuples(st.integers(1, 98), st.integers(1, 98)).filter(lambda s: sum(s) < 100)


def share_split(train: int, test: int) -> Split:
    return Split(train=train / 100, validation=(100 - train - test) / 100, test=test / 100)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(52696, (36887, 5270, 10539)), (7588, (5311, 760, 1517)), (26304, (18412, 2632, 5260))],
)
def test_shares_follow_the_convention_of_the_published_scores(
    rows: int, expected: tuple[int, int, int]
) -> None:
    bounds = split_rows(rows, Split())
    assert (bounds.train, bounds.valid - bounds.train, bounds.end - bounds.valid) == expected
    assert bounds.end == rows


def test_row_counts_use_the_first_rows_only() -> None:
    bounds = split_rows(17420, Split(train=8640, validation=2880, test=2880))
    assert (bounds.train, bounds.valid, bounds.end) == (8640, 11520, 14400)


def test_row_counts_beyond_the_data_are_refused() -> None:
    with pytest.raises(DataError, match=r"asks for 80 \+ 20 \+ 20 rows, the data have 100; lower"):
        split_rows(100, Split(train=80, validation=20, test=20))


@given(rows=st.integers(0, 100_000), parts=shares)
def test_ranges_follow_each_other_and_cover_all_rows(rows: int, parts: tuple[int, int]) -> None:
    bounds = split_rows(rows, share_split(*parts))
    assert 0 <= bounds.train <= bounds.valid <= bounds.end == rows


@given(context=st.integers(1, 600), horizon=st.integers(1, 200), parts=shares)
def test_rows_needed_are_enough_and_no_more_than_needed(
    context: int, horizon: int, parts: tuple[int, int]
) -> None:
    split, windows = share_split(*parts), Windows(context=context, horizon=horizon)
    rows = rows_needed(split, windows)
    for more in range(200):
        check_fits(split_rows(rows + more, split), split, windows, "here")
    with pytest.raises(DataError, match=f"at least {rows} rows are needed"):
        check_fits(split_rows(rows - 1, split), split, windows, "here")


def test_rows_needed_of_row_counts_are_their_sum() -> None:
    split = Split(train=80, validation=20, test=20)
    assert rows_needed(split, Windows(context=8, horizon=4)) == 120


def test_row_counts_too_small_for_a_window_are_refused() -> None:
    split = Split(train=80, validation=3, test=20)
    with pytest.raises(DataError, match="split into 80 / 3 / 20; give larger row counts"):
        check_fits(split_rows(200, split), split, Windows(context=8, horizon=4), "here")
