import pytest

from tasks.figures import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.38514, "0.3851"), (0.0, "0.0000"), (12345.6, "1.23e+04"), (1e-5, "1.00e-05"),
     (None, "n/a"), (float("nan"), "n/a")],
)  # fmt: skip
def test_errors_have_four_decimals_or_an_exponent(value: float | None, text: str) -> None:
    assert numbers.format_error(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.14159, "3.14"), (0, "0"), (1234.5, "1,230"), (0.9996, "1.000"), (0.00012, "1.20e-04"),
     (-2.5, "-2.50"), (None, "n/a")],
)  # fmt: skip
def test_significant_digits_are_three(value: float | None, text: str) -> None:
    assert numbers.format_significant(value) == text


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [(0.0213, False, "2.1 %"), (0.0213, True, "+2.1 %"), (-0.00001, True, "0.0 %")],
)
def test_percent_shows_its_sign_only_when_asked(value: float, signed: bool, text: str) -> None:
    assert numbers.format_percent(value, signed=signed) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999"), (12_345, "12.3 k"), (1_730_000_000, "1.73 B")]
)
def test_counts_get_a_unit(value: int, text: str) -> None:
    assert numbers.format_count(value) == text


def test_units_of_memory_time_and_chance() -> None:
    assert numbers.format_bytes(412_000_000) == "412 MB"
    assert numbers.format_bytes(2_500_000_000) == "2.50 GB"
    assert [numbers.format_seconds(s) for s in (1.5, 300, 9000)] == ["1.50 s", "5.00 min", "2.50 h"]
    assert [numbers.format_p_value(p) for p in (0.0004, 0.0345)] == ["< 0.001", "0.035"]
