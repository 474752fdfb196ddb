"""What a run shows in the Prefect UI: keys, and how often progress is sent."""

import pytest

from flows.progress import Progress

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


def test_keys_hold_only_what_prefect_allows() -> None:
    from flows.artifacts import artifact_key

    assert artifact_key("progress-train@etth1-tsfm_Nano") == "progress-train-etth1-tsfm-nano"


def test_updates_within_two_seconds_are_left_out_but_never_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.artifacts import StageProgress

    sent: list[int] = []
    times = iter([0.0, 1.0, 2.5, 2.6])
    progress = StageProgress("train", clock=lambda: next(times))
    monkeypatch.setattr(progress, "_send", lambda step: sent.append(step.done))
    for done in (1, 2, 3, 4):
        progress.show(Progress("train", done, 4, ""))
    assert sent == [1, 3, 4]
