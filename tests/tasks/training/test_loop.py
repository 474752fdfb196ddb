"""The loop: resumable bit for bit, paired students, distillation, early stopping."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tasks.training import loop as loop_module
from tasks.training.loop import validation_mse
from tasks.training.optimizer import learning_rate_at
from tasks.training.recipe import Student
from tests.tasks.training.students import run_killed_at, same, student, trained, weights
from tests.tiny import tiny_data, tiny_loop, tiny_model


@pytest.mark.parametrize("killed_at", [1, 2, 4, 5, 9, 12])
def test_a_killed_run_resumed_ends_bit_identical(tmp_path, killed_at):
    whole, first, second = student(), student(), student()
    tiny_loop(tmp_path / "a", [whole]).run()
    run_killed_at(tiny_loop(tmp_path / "b", [first]), killed_at)
    resumed = tiny_loop(tmp_path / "b", [second])
    resumed.run()
    assert same(whole, second)


def test_students_killed_together_resume_bit_identical(tmp_path):
    def students():
        return [
            student("plain", keep=(0, 2)),
            student("distilled", keep=(0, 2), distillation=0.5),
            student("short", steps=5, keep=(1,)),
        ]

    teacher = tiny_model(seed=1)
    whole, first, second = students(), students(), students()
    tiny_loop(tmp_path / "a", whole, teacher=teacher).run()
    run_killed_at(tiny_loop(tmp_path / "b", first, teacher=teacher), 8)
    tiny_loop(tmp_path / "b", second, teacher=teacher).run()
    assert all(same(a, b) for a, b in zip(whole, second, strict=True))


KILLED_SCRIPT = """
import sys
from pathlib import Path
from tests.tasks.training.students import student
from tests.tiny import tiny_loop
tiny_loop(Path(sys.argv[1]), [student(steps=60)]).run()
"""


def test_a_process_killed_with_sigkill_resumes_bit_identical(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_SCRIPT, str(tmp_path / "b")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None and not (tmp_path / "b/state.json").exists():
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    ends_as_without_a_stop(tmp_path)


STOPPED_SCRIPT = """
import sys
from pathlib import Path
from tasks.runtime import run_stage
from tests.tasks.training.students import student
from tests.tiny import tiny_loop
def main(_):
    loop = tiny_loop(Path(sys.argv[1]), [student(steps=60)], checkpoint_every=1000)
    step = loop._step
    def told(number):
        step(number)
        print("step", number, flush=True)
        sys.stdin.readline()
    loop._step = told
    loop.run()
run_stage(main)
"""


def test_sigterm_ends_the_step_and_leaves_a_checkpoint_of_it(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED_SCRIPT, str(tmp_path / "b")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(7):
        while not process.stdout.readline().startswith("step"):
            pass
        process.stdin.write("\n")
        process.stdin.flush()
    while not process.stdout.readline().startswith("step 8"):
        pass
    process.send_signal(signal.SIGTERM)  # while it waits inside its eighth step
    output = process.communicate("\n")[0]
    assert process.returncode == 143
    assert "tiny: stopped at step 8; it goes on from there" in output
    assert json.loads((tmp_path / "b/state.json").read_text())["step"] == 8
    ends_as_without_a_stop(tmp_path)


def ends_as_without_a_stop(tmp_path):
    """Resumes b in this process and runs a whole: the same weights, bit for bit."""
    whole, second = student(steps=60), student(steps=60)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tiny_loop(tmp_path / "a", [whole]).run()
        tiny_loop(tmp_path / "b", [second]).run()
    finally:
        torch.set_num_threads(threads)
    assert same(whole, second)


@pytest.mark.parametrize("harm", ["state.json", "step"])
def test_a_torn_checkpoint_is_ignored(tmp_path, harm):
    whole, first, second = student(), student(), student()
    tiny_loop(tmp_path / "a", [whole]).run()
    run_killed_at(tiny_loop(tmp_path / "b", [first]), 8)
    path = next((tmp_path / "b").glob(f"{harm}*"))
    path.write_bytes(path.read_bytes()[:-7])
    tiny_loop(tmp_path / "b", [second]).run()
    assert same(whole, second)


def test_a_checkpoint_of_another_run_is_ignored(tmp_path):
    run_killed_at(tiny_loop(tmp_path, [student()]), 8)
    other, alone = student(seed=3), student(seed=3)
    tiny_loop(tmp_path, [other]).run()
    tiny_loop(tmp_path / "alone", [alone]).run()
    assert same(other, alone)


def test_a_student_ends_the_same_alone_and_in_company(tmp_path):
    alone, together = student("x", keep=(0, 2)), student("x", keep=(0, 2))
    tiny_loop(tmp_path / "a", [alone]).run()
    tiny_loop(tmp_path / "b", [together, student("y", keep=(1, 3))]).run()
    assert same(alone, together)


def test_training_lowers_the_error_and_the_best_weights_are_kept(tmp_path):
    one = student(steps=60)
    data = tiny_data()
    before = validation_mse(one.model, data.valid)
    tiny_loop(tmp_path, [one]).run()
    assert one.best_valid < 0.8 * before
    assert validation_mse(one.model, data.valid) == pytest.approx(one.best_valid, rel=1e-5)


def test_patience_stops_a_run_that_no_longer_improves(tmp_path):
    one = student(steps=400)
    one.learning_rate = 1e-9
    tiny_loop(tmp_path, [one], patience=2, eval_every=2).run()
    summary = one.summary("fp32")
    assert summary.stopped_early
    assert summary.steps_run < 40


def test_pure_distillation_moves_a_student_to_its_teacher(tmp_path):
    taught = student(steps=40, seed=1)
    tiny_loop(tmp_path / "teacher", [taught]).run()
    teacher = taught.model
    one = student(steps=40, distillation=1.0, seed=2)
    context = tiny_data().valid[:, :64]

    def gap():
        with torch.no_grad():
            ours = one.model.forecast(context, 16).mean
            return float((ours - teacher.forecast(context, 16).mean).square().mean())

    before = gap()
    tiny_loop(tmp_path, [one], teacher=teacher).run()
    assert gap() < before


def test_accumulated_micro_batches_equal_one_step_of_their_mean(tmp_path, monkeypatch):
    """A batch of 8 holds what two draws of 4 do: the generator goes on between the two."""
    gradients, update = [], loop_module.Loop._update

    def note(self, one, step):
        gradients.append([p.grad.clone() for p in one.model.trainable()])
        return update(self, one, step)

    monkeypatch.setattr(loop_module.Loop, "_update", note)
    trained(tmp_path / "a", student(steps=1), accumulation=2, batch_size=4)
    trained(tmp_path / "b", student(steps=1), accumulation=1, batch_size=8)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_activation_checkpointing_changes_nothing_but_memory(tmp_path):
    plain, saving = student(steps=4), student(steps=4)
    tiny_loop(tmp_path / "a", [plain]).run()
    tiny_loop(tmp_path / "b", [saving], activation_checkpointing=True).run()
    for a, b in zip(weights(plain), weights(saving), strict=True):
        torch.testing.assert_close(a, b)


def test_hidden_states_are_matched_under_activation_checkpointing_too(tmp_path):
    def taught() -> Student:
        one = student(steps=4, distillation=0.5, keep=(0, 2))
        one.hidden, one.matched = 1.0, (0, 4)
        return one

    plain, saving, teacher = taught(), taught(), tiny_model(seed=1)
    tiny_loop(tmp_path / "a", [plain], teacher=teacher).run()
    tiny_loop(tmp_path / "b", [saving], teacher=teacher, activation_checkpointing=True).run()
    for a, b in zip(weights(plain), weights(saving), strict=True):
        torch.testing.assert_close(a, b)


def test_the_learning_rate_warms_up_and_decays_to_a_hundredth():
    rates = [learning_rate_at(s, steps=100, peak=1.0, warmup_share=0.1) for s in range(1, 101)]
    assert rates[9] == 1.0
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_golden_losses_do_not_drift(tmp_path):
    """A refactor must leave the numbers alone; a change on purpose states them anew."""
    one = student(steps=4)
    tiny_loop(tmp_path, [one]).run()
    losses = [row["train_loss"] for row in one.history]
    assert losses == pytest.approx(GOLDEN_LOSSES, rel=1e-3)


GOLDEN_LOSSES = [0.74130, 0.51320, 0.42724, 0.41224]


def test_a_trial_has_the_same_error_and_leaves_no_weights(tmp_path):
    whole, trial = student(), replace(student(), is_trial=True)
    tiny_loop(tmp_path / "a", [whole]).run()
    tiny_loop(tmp_path / "b", [trial]).run()
    assert (trial.best_valid, trial.best) == (whole.best_valid, {})
    sizes = {name: max(p.stat().st_size for p in (tmp_path / name).glob("step-*")) for name in "ab"}
    bytes_of_weights = sum(t.numel() * 4 for t in whole.trainable_state().values())
    assert sizes["b"] < bytes_of_weights / 10
    assert bytes_of_weights <= sizes["a"] < 1.5 * bytes_of_weights  # no optimizer, no last weights
    again = replace(student(), is_trial=True)
    tiny_loop(tmp_path / "b", [again]).run()
    assert (again.best_valid, again.steps_run) == (trial.best_valid, trial.steps_run)
