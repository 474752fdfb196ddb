"""Windows of a mix that stay with a model, batches that hold some of them, healing with these."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.controls import from_scratch
from tasks.data.windows import training_windows
from tasks.errors import ArtifactError, ParamsError
from tasks.sections.healing import Healing
from tasks.training.healing import Healer, HealingJob
from tasks.training.loop import Loop
from tasks.training.replay import CLIP, FILE, Replayed, load_replay, sample_windows, save_replay
from tasks.training.rivals import trained_anew, tuned_on
from tests.tasks.training.healers import KEEP, heal, healer, option
from tests.tasks.training.students import same
from tests.tiny import CONTEXT, HORIZON, tiny_data, tiny_series, tiny_windows


def own():
    return training_windows(tiny_series(), CONTEXT, HORIZON)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_share_of_every_batch_comes_from_the_kept_windows(share: float) -> None:
    windows, kept = own(), tiny_windows(5)
    mixed = Replayed(windows, kept, share=share)
    index = mixed.draw(64, torch.Generator().manual_seed(0))
    batch = mixed.batch(index)
    again = round(64 * share)
    assert len(mixed) == len(windows) + 5
    assert (index[: 64 - again] < len(windows)).all()
    assert (index[64 - again :] >= len(windows)).all()
    torch.testing.assert_close(batch[: 64 - again], windows.batch(index[: 64 - again]))
    expected = kept[index[64 - again :] - len(windows)]
    torch.testing.assert_close(batch[64 - again :], expected, equal_nan=True)


def test_the_same_generator_draws_the_same_batch() -> None:
    mixed = Replayed(own(), tiny_windows(5), share=0.5)
    first, second = (mixed.draw(16, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(mixed.spaced(7), mixed.spaced(7))
    assert int(mixed.spaced(10**9).max()) == len(mixed) - 1


def test_kept_windows_have_the_scale_of_their_context() -> None:
    series = tiny_series()
    series.values[:] = 1000 + 500 * series.values
    series.values[200] = 1e9
    windows = training_windows(series, CONTEXT, HORIZON)
    found = sample_windows(windows, 40, torch.Generator().manual_seed(0))
    context = found[:, :CONTEXT]
    assert found.abs().max() <= CLIP
    assert (context.mean(1).abs() < 0.2).all()
    assert (context.std(1) < 1.1).all()


def test_windows_are_saved_and_loaded_whole_or_refused(tmp_path: Path) -> None:
    windows = tiny_windows(5)
    save_replay(tmp_path, windows)
    torch.testing.assert_close(load_replay(tmp_path), windows, equal_nan=True, rtol=0, atol=0)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:-9])
    with pytest.raises(ArtifactError, match=r"replay\.safetensors: not a whole"):
        load_replay(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(ArtifactError, match="run its stage again"):
        load_replay(tmp_path)


def replaying() -> Healer:
    return replace(healer(), data=replace(tiny_data(), kept=tiny_windows(6).nan_to_num()))


def test_replay_changes_the_batches_of_its_own_option_alone(tmp_path, monkeypatch):
    names, seen = ("distilled", "distilled+replay"), {}
    original = Loop._backward

    def note(self, batch, active, *others):
        seen.setdefault(active[0].name, []).append(batch.clone())
        original(self, batch, active, *others)

    monkeypatch.setattr(Loop, "_backward", note)
    jobs = [HealingJob(name, KEEP, option(name)) for name in names]
    one = replaying()
    both = heal(tmp_path / "both", jobs, one).students
    (alone,) = heal(tmp_path / "alone", jobs[:1], healer()).students
    assert same(both[0], alone)
    assert not same(both[0], replace(both[1], name="distilled"))
    kept = {tuple(row.tolist()) for row in one.data.kept}
    for batch in seen["distilled+replay"]:
        assert sum(tuple(row.tolist()) in kept for row in batch) == len(batch) // 2
    assert not any(tuple(row.tolist()) in kept for batch in seen["distilled"] for row in batch)


def test_ways_with_replay_need_something_to_replay():
    healing = Healing(options=["plain+replay", "plain@2"], scratch=["replay", "plain"])
    without = replace(healer(), healing=healing)
    assert [one.name for one in without.options] == ["plain@2"]
    assert [one.way for one in tuned_on(without, 3)] == ["plain@2"]
    assert [one.way for one in trained_anew(without, without.full, 3)] == ["plain"]
    with_replay = replace(replaying(), healing=healing)
    assert [one.replay for one in with_replay.options] == [healing.replay, 0]
    assert [one.replay for one in tuned_on(with_replay, 3)] == [healing.replay, 0]
    assert [one.replay for one in trained_anew(with_replay, with_replay.full, 3)] == [0.5, 0]
    nothing = replace(without, healing=Healing(scratch=["plain+replay"]))
    with pytest.raises(ParamsError, match=r"healing\.scratch names only ways with replay"):
        trained_anew(nothing, nothing.full, 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["plain", "plain@4", "plain+replay"], {"scratch", "scratch_replay"}),
        (["plain"], {"scratch"}),
        (["plain+replay"], {"scratch"}),
    ],
)
def test_a_model_from_scratch_that_saw_the_mix_is_a_control_of_its_own(names, expected):
    one = replace(replaying(), healing=Healing(scratch=names))
    rivals = trained_anew(one, one.full, 3)
    for error, rival in zip((0.5, 0.4, 0.3), rivals, strict=False):
        rival.best_valid = error
    found = {student.name: student for student in from_scratch(rivals)}
    assert set(found) == expected
    assert found["scratch"].replay == (0.5 if names == ["plain+replay"] else 0)
    if len(names) > 1:
        assert (found["scratch"].best_valid, found["scratch_replay"].best_valid) == (0.4, 0.3)
