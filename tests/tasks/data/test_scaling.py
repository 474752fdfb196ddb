import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasks.data.scaling import fit_scaler

values = hnp.arrays(
    np.float64, st.integers(2, 50), elements=st.floats(-1e6, 1e6) | st.just(float("nan"))
).filter(lambda one: bool(np.isfinite(one).any()))


@given(values)
def test_scaling_inverts(data: np.ndarray) -> None:
    scaler = fit_scaler(data)
    back = scaler.unscale(scaler.scale(data))
    assert np.array_equal(np.isnan(back), np.isnan(data))
    size = max(abs(scaler.mean), scaler.std, np.nanmax(np.abs(data)))
    np.testing.assert_allclose(back, data, atol=1e-6 * size + 1e-12)


def test_deviation_is_the_population_s_and_missing_values_do_not_count() -> None:
    scaler = fit_scaler(np.array([1.0, np.nan, 3.0, 5.0]))
    assert scaler.mean == 3
    assert scaler.std == pytest.approx(np.sqrt(8 / 3))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_a_constant_series_scales_to_zero_without_division_by_zero(value: float) -> None:
    scaler = fit_scaler(np.full(7, value))
    assert scaler.is_constant
    assert scaler.std == 1
    assert not scaler.scale(np.full(3, value)).any()
