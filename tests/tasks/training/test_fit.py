"""Histories and training data as the stages share them."""

import pandas as pd

from tasks.sections.models import Training
from tasks.training.fit import fit, write_history
from tasks.training.recipe import Student
from tests.tiny import tiny_data, tiny_loop, tiny_model, tiny_recipe


def test_history_has_one_row_per_evaluation(tmp_path):
    one = Student(name="full", model=tiny_model(), steps=10, learning_rate=1e-3)
    loop = tiny_loop(tmp_path / "state", [one], eval_every=4)
    loop.run()
    write_history(tmp_path / "history.csv", loop.students)
    frame = pd.read_csv(tmp_path / "history.csv")
    assert list(frame["step"]) == [4, 8, 10]
    assert frame["valid_mse"].notna().all()
    losses = [row["train_loss"] for row in one.history]
    assert frame["train_loss"][0] == sum(losses[:4]) / 4
    assert frame["train_loss"][2] == sum(losses[8:]) / 2


def test_a_model_without_steps_has_an_empty_history(tmp_path):
    one = Student(name="full", model=tiny_model(), steps=0, learning_rate=1e-3)
    loop = tiny_loop(tmp_path / "state", [one])
    loop.run()
    write_history(tmp_path / "history.csv", loop.students)
    assert pd.read_csv(tmp_path / "history.csv").empty
    assert one.summary("fp32").steps_run == 0


def test_sweep_takes_the_rate_with_the_lowest_validation_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = Training(steps=8, learning_rate=1e-3, sweep_rates=[1e-7, 1e-2], sweep_steps=8)
    summary, loop = fit(tiny_model(), training, tiny_data(), tiny_recipe(), what="train tiny")
    assert summary.learning_rate == 1e-2
    assert set(summary.sweep) == {"1e-07", "0.01"}
    assert summary.sweep["0.01"] == summary.valid_mse  # the same steps from the same weights
    loop.discard_state()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_start_that_no_rate_improves_does_not_make_all_rates_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = tiny_model()
    trained = Training(steps=200, learning_rate=1e-2)
    fit(known, trained, tiny_data(), tiny_recipe(), what="train known")
    rates = [10.0, 0.3, 1e-2]  # all of them too high for it by now, the first most
    training = Training(steps=1, learning_rate=1e-3, sweep_rates=rates, sweep_steps=8)
    summary, _ = fit(known, training, tiny_data(), tiny_recipe(), what="train again")
    assert len(set(summary.sweep.values())) == 3
    assert summary.learning_rate == min(rates, key=lambda one: summary.sweep[f"{one:g}"]) == 1e-2
