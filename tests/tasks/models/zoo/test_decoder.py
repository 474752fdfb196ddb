"""Parts that the nets of our own share, and filled gaps."""

import pytest
import torch

from tasks.models.zoo.decoder import (
    CausalAttention,
    RmsNorm,
    fitting_head,
    rotary_tables,
    standardised,
    values_after,
)
from tasks.models.zoo.gaps import filled

NAN = float("nan")


@pytest.mark.parametrize(("wanted", "number"), [(100, 3), (64, 3), (63, 2), (8, 1), (7, 0), (1, 0)])
def test_the_longest_head_that_fits_is_chosen(wanted, number):
    assert fitting_head((1, 8, 32, 64), wanted) == number


def test_a_head_alone_is_chosen_even_where_it_is_too_long():
    assert fitting_head((96,), 10) == 0


def test_values_after_the_ends_are_known_up_to_the_end_of_the_series():
    series = torch.tensor([[0.0, 1.0, NAN, 3.0]])
    values, known = values_after(series, torch.isfinite(series), [1, 3, 4], 2)
    assert values.tolist() == [[[1, 0], [3, 0], [0, 0]]]
    assert known.tolist() == [[[True, False], [True, False], [False, False]]]


def test_rms_norm_divides_by_the_root_mean_square():
    hidden = torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(RmsNorm(2, 0.0)(hidden), hidden / 12.5**0.5)


def test_attention_sees_distances_not_positions():
    torch.manual_seed(0)
    attention = CausalAttention(16, 2, 1, 0.0)
    cosine, sine = rotary_tables(12, 8, 10000, torch.zeros(1))
    hidden = torch.randn(1, 6, 16)
    first = attention(hidden, (cosine[:6], sine[:6]))
    later = attention(hidden, (cosine[6:], sine[6:]))
    torch.testing.assert_close(first, later, rtol=1e-4, atol=1e-5)
    shuffled = attention(hidden[:, [1, 0, 2, 3, 4, 5]], (cosine[:6], sine[:6]))
    assert not torch.allclose(shuffled[:, -1], first[:, -1], atol=1e-3)


def test_no_token_sees_a_later_one():
    torch.manual_seed(0)
    attention, tables = CausalAttention(16, 2, 2, 0.0), rotary_tables(6, 8, 10000, torch.zeros(1))
    hidden = torch.randn(1, 6, 16)
    changed = hidden.clone()
    changed[:, 4:] += 1
    assert torch.equal(attention(hidden, tables)[:, :4], attention(changed, tables)[:, :4])


def test_series_without_spread_keep_their_scale():
    values, mean, scale = standardised(torch.full((1, 4), 3.0))
    assert values.tolist() == [[0, 0, 0, 0]]
    assert (float(mean), float(scale)) == (3, 1)
    assert standardised(torch.tensor([[2.0]]))[0].tolist() == [[0]]


def test_gaps_are_closed_by_straight_lines():
    context = torch.tensor([[NAN, 1.0, NAN, NAN, 4.0, NAN], [NAN] * 6, [0.0, 1, 2, 3, 4, 5]])
    assert filled(context).tolist() == [[1, 1, 2, 3, 4, 4], [0] * 6, [0, 1, 2, 3, 4, 5]]
