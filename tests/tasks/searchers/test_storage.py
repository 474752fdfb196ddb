"""The study in a database; passwords stay out of params and logs."""

import pandas as pd
import pytest

from tasks.errors import ParamsError
from tasks.searchers.storage import open_storage
from tasks.sections.search import Search
from tasks.sections.storage import STORAGE_VARIABLE, hide_passwords
from tests.tasks.searchers.synthetic import gauge_of, loss_table, study_on

OPTIONS = Search(exhaustive_limit=0, trials=10, sampler="swap")


def gauge():
    return gauge_of(loss_table(8, [2], 0), OPTIONS, num_blocks=8)


@pytest.mark.parametrize("by", ["params", "environment"])
def test_a_database_gives_the_same_trials_and_resumes(tmp_path, monkeypatch, by):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    setting = url if by == "params" else "env"
    first = study_on(gauge(), open_storage(setting, tmp_path / "journal.log"))
    pd.testing.assert_frame_equal(first, study_on(gauge()))
    again = study_on(gauge(), open_storage(setting, tmp_path / "journal.log"))
    pd.testing.assert_frame_equal(again, first)
    assert not (tmp_path / "journal.log").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "FEWLAYERS_SEARCH_STORAGE is not set"),
        ("nonsense", "not a database URL"),
        ("sqlite:////nowhere/at/all/study.db", "cannot be opened"),
        ("nosuch://user:hidden@host/database", r"nosuch://user:\*\*\*@host.* cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_said_without_the_password(tmp_path, monkeypatch, url, message):
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    with pytest.raises(ParamsError, match=message) as caught:
        open_storage("env", tmp_path / "journal.log")
    assert "hidden" not in str(caught.value)


def test_a_missing_driver_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(STORAGE_VARIABLE, "mssql+pymssql://user:hidden@host/database")
    with pytest.raises(ParamsError, match=r"the driver of .*user:\*\*\*@host.* not installed"):
        open_storage("env", tmp_path / "journal.log")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:a:b@c@host/d", "postgresql://user:***@host/d"),
        ("postgresql://user@host/d", "postgresql://user@host/d"),
        ("postgresql://host/d?password=secret&x=1", "postgresql://host/d?password=***&x=1"),
        ("journal", "journal"),
    ],
)
def test_passwords_are_hidden(text, shown):
    assert hide_passwords(text) == shown
