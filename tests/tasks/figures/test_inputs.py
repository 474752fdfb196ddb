from pathlib import Path

import pytest

from tasks.errors import ArtifactError
from tasks.figures.inputs import read_pair
from tests.tasks.figures.made_up_run import write_run

NAME = "demo/tsfm-pico"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_run(tmp_path, datasets=["demo"], models=["tsfm-pico"])
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        f"evaluation/{NAME}/evaluation.json", f"measurements/{NAME}.json", f"scores/{NAME}.json",
        f"search/{NAME}/search.json", f"search/{NAME}/trials.csv", f"search/{NAME}/front.csv",
        f"models/full/{NAME}/training.json", f"models/pruned/{NAME}/prune.json",
        f"models/controls/{NAME}/random_3/control.json", f"plots/train/{NAME}.csv",
        f"plots/heal/{NAME}.csv", f"evaluation/{NAME}/per_step.csv",
        f"evaluation/{NAME}/forecasts.json", "data/prepared/demo/profile.json",
    ],
)  # fmt: skip
def test_a_missing_file_is_named_in_one_line(root: Path, path: str) -> None:
    (root / path).unlink()
    with pytest.raises(ArtifactError, match=rf"{path}: missing; run `dvc repro`") as caught:
        read_pair(root, dataset="demo", model="tsfm-pico")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (f"evaluation/{NAME}/evaluation.json", "{", "not valid JSON"),
        (f"evaluation/{NAME}/evaluation.json", "{}", "not a Evaluation: dataset"),
        (f"search/{NAME}/trials.csv", "number,keep\n0,1\n", "must have the column 'num_kept'"),
        (f"search/{NAME}/front.csv", "", "not a CSV table"),
        (f"plots/heal/{NAME}.csv", "step,train_loss,valid_mse\n", "must have the column 'option'"),
        (f"evaluation/{NAME}/forecasts.json", '[{"series": "a"}]', "not a list of forecasts: 0"),
    ],
)
def test_a_torn_file_is_named_with_what_is_wrong(
    root: Path, path: str, content: str, message: str
) -> None:
    (root / path).write_text(content)
    with pytest.raises(ArtifactError, match=rf"{path}: {message}") as caught:
        read_pair(root, dataset="demo", model="tsfm-pico")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_pair_is_refused(root: Path) -> None:
    text = (root / f"scores/{NAME}.json").read_text().replace("tsfm-pico", "tsfm-nano")
    (root / f"scores/{NAME}.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"must be of demo/tsfm-pico; it says demo/tsfm-nano"):
        read_pair(root, dataset="demo", model="tsfm-pico")


def test_masks_stay_text_and_missing_values_stay_missing(root: Path) -> None:
    pair = read_pair(root, dataset="demo", model="tsfm-pico")
    assert pair.trials["keep"][0] == "0 1 5"
    assert pair.forecasts[0].context[7] is None
    assert set(pair.controls) == set(pair.evaluation.controls) - {"seasonal_naive", "linear"}
    assert pair.timings["train"].seconds["training"] == 71.3
