"""Histories and training data as the stages share them."""

import pandas as pd

from tasks.training.fit import write_history
from tasks.training.recipe import Student
from tests.tiny import tiny_loop, tiny_model


def test_history_has_one_row_per_evaluation(tmp_path):
    one = Student(name="full", model=tiny_model(), steps=10, learning_rate=1e-3)
    loop = tiny_loop(tmp_path / "state", [one], eval_every=4)
    loop.run()
    write_history(tmp_path / "history.csv", loop)
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
    write_history(tmp_path / "history.csv", loop)
    assert pd.read_csv(tmp_path / "history.csv").empty
    assert one.summary("fp32").steps_run == 0
