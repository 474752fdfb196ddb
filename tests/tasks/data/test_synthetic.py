import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks.data.corpus import SERIES_PER_KIND, corpus_table
from tasks.data.synthetic import demo_frame


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return demo_frame(3000, 4, seed=1)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return corpus_table(1)


def test_the_same_seed_gives_the_same_demo(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(frame, demo_frame(3000, 4, seed=1))
    assert not frame.equals(demo_frame(3000, 4, seed=2))


def test_the_demo_has_a_few_missing_stretches(frame: pd.DataFrame) -> None:
    missing = frame.drop(columns="date").isna()
    assert missing.any().all()
    assert missing.to_numpy().mean() < 0.05


def test_the_demo_repeats_daily_and_weekly(frame: pd.DataFrame) -> None:
    values = frame.drop(columns="date").interpolate().to_numpy()
    values = (values - values.mean(0)) / values.std(0)

    def correlation(lag: int) -> float:
        return float((values[lag:] * values[:-lag]).mean())

    assert correlation(24) > correlation(17) + 0.1
    assert correlation(168) > correlation(12) + 0.2


def test_channels_of_the_demo_are_coupled(frame: pd.DataFrame) -> None:
    correlations = frame.drop(columns="date").corr().to_numpy()
    assert np.abs(correlations[np.triu_indices(4, 1)]).mean() > 0.2


def test_small_demos_can_be_made() -> None:
    assert demo_frame(100, 1, seed=0).shape == (100, 2)


def test_the_same_seed_gives_the_same_corpus(table: pa.Table) -> None:
    assert table.equals(corpus_table(1))
    assert not table.equals(corpus_table(2))


def test_the_corpus_holds_finite_series_of_every_kind(table: pa.Table) -> None:
    kinds = table.column("dataset").value_counts().to_pylist()
    assert len(kinds) == 6
    assert {one["counts"] for one in kinds} == {SERIES_PER_KIND}
    for target in table.column("target"):
        values = np.asarray(target.values)
        assert np.isfinite(values).all()
        assert len(np.unique(values)) > 1
