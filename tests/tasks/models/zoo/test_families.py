"""Every family that params.yaml may name is there, is tested, and is imported only when needed."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tasks.errors import ParamsError
from tasks.models.families import family_class, zoo_class
from tasks.models.native import NativeModel
from tasks.models.zoo.family import ZooModel
from tasks.sections.zoo import ZooFamily
from tests import ROOT

FAMILIES = get_args(ZooFamily)
HERE = Path(__file__).parent


def class_of(family: str) -> type[ZooModel]:
    """The family's class; skips the test where its package is not installed."""
    try:
        return zoo_class(family)
    except ParamsError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_is_known_by_its_name(self, family):
        assert issubclass(class_of(family), ZooModel)
        assert family_class(family) is zoo_class(family)

    def test_has_no_abstract_method_left(self, family):
        assert not class_of(family).__abstractmethods__

    def test_has_a_test_that_names_it(self, family):
        class_of(family)
        texts = [
            path.read_text(encoding="utf-8")
            for path in HERE.glob("test_*.py")
            if path != Path(__file__)
        ]
        assert any(f'"{family}"' in text and "(Contract)" in text for text in texts)


def test_native_families_have_one_class():
    assert family_class("tsfm") is family_class("llm4ts") is NativeModel


def test_an_unknown_family_is_refused():
    with pytest.raises(ParamsError, match="no model family 'bert'"):
        family_class("bert")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.delitem(sys.modules, "tasks.models.zoo.chronos_bolt", raising=False)
    monkeypatch.setitem(sys.modules, "chronos", None)
    with pytest.raises(ParamsError, match=r"needs the package 'chronos'.*fewlayers\[chronos\]"):
        zoo_class("chronos_bolt")


def test_loading_models_imports_no_family():
    """A stage that needs none of them starts without their libraries."""
    code = (
        "import sys, tasks.models.registry\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'chronos'"
        " or name.startswith('tasks.models.zoo.')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(found.stdout.split()) <= {"tasks.models.zoo.family"}
