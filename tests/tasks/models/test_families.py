"""Families by name, and what is said where a family's package is not installed."""

import sys

import pytest

from tasks.errors import ParamsError
from tasks.models.families import family_class, zoo_class
from tasks.models.native import NativeModel


@pytest.mark.parametrize(
    ("family", "package"),
    [("chronos_bolt", "chronos"), ("chronos2", "chronos"), ("chronos_t5", "chronos")],
)
def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch, family, package):
    for name in [one for one in sys.modules if one.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"tasks.models.zoo.{family}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ParamsError) as caught:
        family_class(family)
    assert str(caught.value) == (
        f"family {family!r} needs the package {package!r}, which is not installed; "
        "pip install 'fewlayers[chronos]'"
    )


def test_an_error_inside_our_own_code_is_not_taken_for_a_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tasks.models.zoo.chronos_bolt", None)
    with pytest.raises(ModuleNotFoundError):
        zoo_class("chronos_bolt")


def test_native_families_need_no_package():
    assert family_class("tsfm") is NativeModel
    assert family_class("llm4ts") is NativeModel


def test_an_unknown_family_is_refused():
    with pytest.raises(ParamsError, match="there is no model family 'gpt9'"):
        family_class("gpt9")
