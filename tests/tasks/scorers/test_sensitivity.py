"""The scores on other windows: the same as measured there alone."""

import numpy as np
import pytest

from tasks.data.windows import validation_windows
from tasks.scorers.calibration import draw_windows
from tasks.scorers.sensitivity import calibration_sensitivity
from tasks.scorers.table import Meter, kinds_of, score_all
from tasks.searchers.rungs import rank_correlation
from tasks.sections.scoring import Scoring, Sensitivity
from tests.tiny import CONTEXT, HORIZON, tiny_model, tiny_series

SEED = 5


@pytest.fixture(scope="module")
def source():
    return validation_windows(tiny_series(), CONTEXT, HORIZON)


def compare(source, sensitivity, scores=("block_influence", "removal_loss", "taylor")):
    options = Scoring(scores=list(scores), calibration_windows=20, sensitivity=sensitivity)
    meter = Meter(tiny_model(), options, SEED)
    own = draw_windows(source, 20, "spaced", seed=SEED)
    windows = source.batch(own.index)
    evidence = {kind: meter.measure(kind, windows) for kind in kinds_of(options.scores)}
    return calibration_sensitivity(meter, source, own, evidence), evidence, meter


def test_settings_are_the_own_one_and_every_draw_and_count(source):
    found, *_ = compare(source, Sensitivity(windows=[8, 10_000], draws=["spaced", "random"]))
    told = [(one.draw, one.windows) for one in found.settings]
    total = len(source)
    assert told == [
        ("spaced", 20),
        ("spaced", 8),
        ("spaced", total),
        ("random", 8),
        ("random", total),
    ]
    assert set(found.agreement) == {"block_influence", "removal_loss"}  # taylor: not by window
    for table in found.agreement.values():
        values = np.array(table)
        np.testing.assert_allclose(np.diagonal(values), 1)
        np.testing.assert_allclose(values, values.T)
        assert values[2, 4] == pytest.approx(1)  # both hold every window


def test_agreement_is_that_of_scores_measured_on_these_windows_alone(source):
    found, evidence, meter = compare(source, Sensitivity(windows=[8], draws=["spaced"]))
    windows = source.batch(source.spaced(8))
    alone = {kind: meter.measure(kind, windows) for kind in ("activations", "removals")}
    names = ["block_influence", "removal_loss"]
    first, second = (score_all(names, one, meter.options) for one in (evidence, alone))
    for name in names:
        expected = rank_correlation(first[name].values, second[name].values)
        assert found.agreement[name][0][1] == pytest.approx(expected)


def test_nothing_is_compared_where_nothing_is_asked_for(source):
    assert compare(source, Sensitivity(windows=[], draws=["random"]))[0] is None
