"""Every option of healing: what it trains, on which batches, and that it resumes bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tasks.models.registry import load_model
from tasks.sections.healing import Healing
from tasks.training.healing import Healed, HealingJob
from tasks.training.lessons import state_distance
from tasks.training.loop import Loop
from tasks.training.options import healing_option
from tasks.training.recipe import Student
from tasks.training.rivals import best_rival, trained_anew, tuned_on
from tests.tasks.training.healers import HEALING, KEEP, NAMES, heal, healer, option
from tests.tasks.training.students import same
from tests.tiny import tiny_data, tiny_model


def changed(student: Student, full) -> set[str]:
    before = full.with_blocks(KEEP).state_dict()
    return {n for n, t in student.model.state_dict().items() if not torch.equal(t, before[n])}


@pytest.mark.parametrize("backbone", ["gpt2", "qwen3"])
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("plain", ("embedding", "backbone", "head")),
        ("kept_only", ("backbone.{path}.",)),
        ("head_last", ("backbone.{path}.1.", "backbone.{norm}.", "head.")),
    ],
)
def test_an_option_trains_its_part_and_nothing_else(tmp_path, backbone, name, parts):
    one = healer(backbone)
    (student,) = heal(tmp_path, [HealingJob("x", KEEP, option(name))], one).students
    names = {"gpt2": ("h", "ln_f"), "qwen3": ("layers", "norm")}[backbone]
    starts = [part.format(path=names[0], norm=names[1]) for part in parts]
    found = changed(student, one.full)
    assert all(any(key.startswith(start) for start in starts) for key in found)
    for start in starts:
        assert any(key.startswith(start) for key in found)
    assert student.summary("fp32").trainable_parameters == sum(
        p.numel() for n, p in student.model.named_parameters() if n in found
    )


def test_freezing_leaves_no_trace_in_the_saved_model(tmp_path):
    one = healer()
    jobs = [HealingJob(name, KEEP, option(name)) for name in ("plain", "kept_only")]
    plain, frozen = heal(tmp_path, jobs, one).students
    plain.model.save(tmp_path / "plain")
    frozen.model.save(tmp_path / "frozen")
    again = load_model(tmp_path / "frozen")
    configs = [(tmp_path / name / "config.json").read_text() for name in ("plain", "frozen")]
    assert configs[0].partition('"sha256"')[0] == configs[1].partition('"sha256"')[0]
    assert all(p.requires_grad for p in again.head.parameters())


def test_a_model_without_blocks_is_healed_whatever_the_option(tmp_path):
    jobs = [HealingJob(name, (), option(name, seam_repair=True)) for name in NAMES]
    for student in heal(tmp_path, jobs, steps=6).students:
        assert student.model.num_blocks == 0
        assert student.steps_run == 6
        assert student.best_valid < float("inf")


def test_an_option_may_name_its_share_and_its_rate(tmp_path):
    names = ["plain", "plain@4", "distilled=0.9", "iterative+hidden=1@0.5"]
    options = [healing_option(name, HEALING) for name in names]
    assert [one.rate for one in options] == [1, 4, 1, 0.5]
    assert [one.distillation for one in options] == [0, 0, 0.9, 1]
    assert (options[3].rounds, options[3].hidden) == (3, 0.3)
    jobs = [HealingJob(one.name, KEEP, one) for one in options[:2]]
    students = heal(tmp_path, jobs).students
    peaks = [max(row["learning_rate"] for row in one.history) for one in students]
    assert peaks == pytest.approx([3e-3, 12e-3])


def test_rivals_start_alike_and_the_best_of_them_is_kept(tmp_path):
    one = replace(healer(), healing=Healing(scratch=["plain@1e-6", "plain"]))
    rivals = trained_anew(one, one.full, 12)
    one.heal([], steps=6, state_folder=tmp_path, what="tiny", rivals=rivals)
    assert [(r.name, r.steps_run) for r in rivals] == [
        ("scratch plain@1e-6", 12),
        ("scratch plain", 12),
    ]
    best = best_rival(rivals, "scratch")
    assert best.name == "scratch"
    assert best.model is rivals[1].model
    assert best.best_valid == min(r.best_valid for r in rivals)


def test_rivals_of_several_rates_hold_no_optimizer_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(healer(), healing=Healing(options=["plain@1e-6", "plain"]))
    rivals = tuned_on(one, 6)
    original, held = Loop._step, []

    def step_and_count(self: Loop, step: int) -> None:
        original(self, step)
        held.append(sum(rival.optimizer is not None for rival in rivals))

    monkeypatch.setattr(Loop, "_step", step_and_count)
    jobs = [HealingJob("plain", KEEP, option("plain"))]
    one.heal(jobs, steps=6, state_folder=tmp_path, what="tiny", rivals=rivals)
    assert max(held) == 1
    assert [rival.steps_run for rival in rivals] == [6, 6]


class Killed(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Raises before the step number `count` of all loops together."""
    original, done = Loop._step, [0]

    def step_or_die(self: Loop, step: int) -> None:
        done[0] += 1
        if done[0] == count:
            raise Killed
        original(self, step)

    monkeypatch.setattr(Loop, "_step", step_or_die)


def all_jobs() -> list[HealingJob]:
    jobs = [HealingJob(name, KEEP, option(name)) for name in NAMES]
    return [*jobs, HealingJob("seam", KEEP, option("iterative+hidden_cut", seam_repair=True))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Healed:
    return heal(tmp_path_factory.mktemp("whole"), all_jobs())


# twelve steps at once, then rounds of three, three and six
@pytest.mark.parametrize("killed_at", [5, 14, 17, 23])
def test_a_kill_in_any_loop_or_round_changes_nothing(tmp_path, monkeypatch, whole, killed_at):
    with monkeypatch.context() as patch:
        kill_at(patch, killed_at)
        with pytest.raises(Killed):
            heal(tmp_path, all_jobs())
    again = heal(tmp_path, all_jobs())
    assert all(same(a, b) for a, b in zip(whole.students, again.students, strict=True))


def test_a_healing_that_is_done_is_not_done_again(tmp_path, monkeypatch):
    jobs = [HealingJob(name, KEEP, option(name)) for name in ("plain", "iterative")]
    first = heal(tmp_path, jobs)
    kill_at(monkeypatch, 1)
    again = heal(tmp_path, jobs)
    assert all(same(a, b) for a, b in zip(first.students, again.students, strict=True))
    again.discard_state()
    assert not tmp_path.exists()


def test_every_option_gets_the_same_batches_and_steps(tmp_path, monkeypatch):
    seen: dict[str, list[torch.Tensor]] = {}
    original = Loop._backward

    def note(self: Loop, batch, active, *others) -> None:
        for student in active:
            seen.setdefault(student.name, []).append(batch)
        original(self, batch, active, *others)

    monkeypatch.setattr(Loop, "_backward", note)
    healed = heal(tmp_path, all_jobs(), healer(eval_every=100))
    plain = seen["plain"]
    assert len(plain) == 12
    for student in healed.students:
        assert student.steps == student.steps_run == len(seen[student.name]) == 12
        for a, b in zip(plain, seen[student.name], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_an_option_ends_the_same_alone_and_in_company(tmp_path, whole):
    for number, job in enumerate(all_jobs()):
        (alone,) = heal(tmp_path / str(number), [job]).students
        assert same(alone, whole.students[number])


def test_iterative_ends_with_exactly_the_wanted_mask(tmp_path, whole):
    for student, job in zip(whole.students, all_jobs(), strict=True):
        assert student.model.kept == job.keep
        assert [row["step"] for row in student.history] == list(range(1, 13))
    sizes = [
        len({key.split("|")[2].split(".")[2] for key in load_file(path) if ".h." in key})
        for path in sorted((whole.state_folder / "rounds-3").glob("*/step-*"))
    ]
    assert sizes == [4, 3, 2]


def test_a_pruned_model_can_be_healed_in_rounds_again(tmp_path):
    one = healer()
    smaller = replace(one, full=one.full.with_blocks((0, 1, 3, 4)), teacher=one.full)
    jobs = [HealingJob(name, (0, 3), option(name)) for name in ("hidden", "iterative+hidden_cut")]
    for student in heal(tmp_path, jobs, smaller, steps=6).students:
        assert student.model.kept == (0, 4)


def test_the_hidden_loss_is_zero_when_nothing_is_pruned(tmp_path):
    one = healer()
    itself = replace(one, teacher=one.full)
    job = HealingJob("x", (0, 1, 2, 3, 4), option("hidden"))
    student = itself.student(job, one.full, job.keep, 1)
    assert student.matched == (0, 1, 2, 3, 4)
    plain = itself.student(HealingJob("y", job.keep, option("distilled")), one.full, job.keep, 1)
    loop = Loop(
        [student, plain],
        one.recipe,
        windows=one.data.windows,
        valid=one.data.valid,
        state_folder=tmp_path,
        what="tiny",
        teacher=one.full,
    )
    loop._step(1)
    assert student.history[0]["train_loss"] == plain.history[0]["train_loss"]


def test_hidden_states_move_to_those_of_the_teacher(tmp_path):
    one = replace(healer(), teacher=tiny_model())
    jobs = [HealingJob("x", KEEP, replace(option("hidden_cut"), hidden=weight)) for weight in (0,)]
    jobs.append(HealingJob("y", KEEP, replace(option("hidden_cut"), hidden=3.0)))
    without, with_hidden = heal(tmp_path, jobs, one, steps=40).students
    context = tiny_data().valid[:, :64]
    full = one.full.trace(context)[0].hidden

    def gap(student: Student) -> float:
        states = student.model.trace(context)[0].hidden
        with torch.no_grad():
            return float(state_distance([states[1], states[2]], [full[2], full[5]]))

    assert gap(with_hidden) < 0.8 * gap(without)


def test_the_distance_of_states_does_not_depend_on_their_size():
    target = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert float(state_distance([target], [target])) == 0
    assert float(state_distance([0 * target], [target])) == pytest.approx(1)
    assert float(state_distance([11 * target], [10 * target])) == pytest.approx(0.01)


def test_the_time_of_a_student_is_its_own(tmp_path):
    jobs = [HealingJob(name, KEEP, option(name)) for name in ("plain", "iterative")]
    for student in heal(tmp_path, jobs).students:
        told = sum(row["seconds"] for row in student.history)
        assert 0 < told <= student.seconds  # the evaluation before the first step has no row


def test_a_mask_was_improving_where_its_lowest_error_came_late(tmp_path: Path) -> None:
    (one,) = heal(tmp_path, [HealingJob("x", KEEP, option("plain"))], steps=12).students
    assert one.steps_run == 12
    assert one.summary("fp32").best_step == 12
    errors = [row["valid_mse"] for row in one.history if row["valid_mse"] is not None]
    is_late = errors.index(min(errors)) == len(errors) - 1
    assert one.summary("fp32").still_improving == is_late
