"""The table of scores: every name of params.yaml, each kind of evidence measured once."""

from typing import get_args

import pytest

from tasks.masks.mask import own_mask
from tasks.scorers.table import SCORERS, Meter, kinds_of, score_all
from tasks.sections.scoring import Gate, ScoreName, Scoring
from tests.tiny import tiny_model, tiny_windows


def test_every_name_has_a_scorer():
    assert set(SCORERS) == set(get_args(ScoreName))


def test_only_what_is_needed_is_measured_and_once():
    assert kinds_of(["angular", "cka"]) == ["activations"]
    assert kinds_of(["gate", "cka", "taylor"]) == ["activations", "gates", "gradients"]


@pytest.mark.parametrize("head", ["per_token", "flatten"])
def test_every_score_gives_one_value_per_block_and_a_mask_of_every_size(head):
    options = Scoring(scores=list(SCORERS), batch_size=8, gate=Gate(steps=2))
    meter, windows = Meter(tiny_model(head=head), options, seed=0), tiny_windows(12)
    evidence = {kind: meter.measure(kind, windows) for kind in kinds_of(options.scores)}
    scores = score_all(options.scores, evidence, options)
    assert list(scores) == list(SCORERS)
    for score in scores.values():
        assert len(score.values) == 5
        for size in range(1, 5):
            mask = own_mask(score, size)
            assert len(set(mask)) == size
            assert list(mask) == sorted(mask)
