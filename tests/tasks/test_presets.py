"""Presets: values laid over params.yaml, a part of the models, checkpoints seen from elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.params import read_yaml, validate_params, yaml_text
from tasks.presets import from_elsewhere, load_preset, merge, only_models
from tasks.sections.run import NOT_LOCAL


def content() -> dict[str, Any]:
    """Models of three starts: random weights, pretrained on a mix, imported."""
    shape = {"family": "tsfm", "scale": "s"}
    bolt = {"family": "chronos_bolt"}
    return {
        "run": {
            "datasets": ["d"],
            "models": {"alone": "none", "tuned": "base", "pruned": "bolt"},
            "mixes": ["x"],
            "pretrain": {"base": "x"},
            "imports": {"bolt": "checkpoints/bolt", "far": NOT_LOCAL},
        },
        "windows": {"context": 64, "horizon": 16},
        "datasets": {"d": {}},
        "mixes": {"x": {"members": ["d"]}},
        "scales": {
            "s": {"backbone": "gpt2", "blocks": 4, "width": 8, "heads": 2, "learning_rate": 1e-3}
        },
        "models": {
            "alone": shape,
            "base": shape,
            "tuned": shape | {"start": {"kind": "pretrained", "model": "base"}},
            "bolt": bolt | {"start": {"kind": "folder", "path": "checkpoints/bolt"}},
            "pruned": bolt | {"start": {"kind": "pretrained", "model": "bolt"}},
            "far": bolt | {"start": {"kind": "hub", "id": "a/b", "revision": "0" * 40}},
        },
    }


def write(folder: Path, params: dict[str, Any]) -> Path:
    path = folder / "params.yaml"
    path.write_text(yaml_text(params))
    return path


def test_merge_lays_the_second_over_the_first() -> None:
    base = {"a": {"x": 1, "y": 2}, "b": 3}
    assert merge(base, {"a": {"y": 5}, "c": 6}) == {"a": {"x": 1, "y": 5}, "b": 3, "c": 6}
    assert base == {"a": {"x": 1, "y": 2}, "b": 3}


def test_a_preset_that_names_models_says_all_that_they_need() -> None:
    run = {"datasets": ["d"], "models": {"m": "n"}, "mixes": ["x"], "pretrain": {"n": "x"},
           "imports": {"o": "folder"}}  # fmt: skip
    models = {"models": {"m": "none"}}
    own = run | models | {"mixes": [], "pretrain": {}, "imports": {}}
    assert merge({"run": run}, {"run": models})["run"] == own
    assert merge({"run": run}, {"run": models | {"datasets": ["e"]}})["run"]["datasets"] == ["e"]
    assert merge({"run": run}, {"run": {"datasets": ["e"]}})["run"] == run | {"datasets": ["e"]}


def test_presets_are_validated_with_the_rest(tmp_path: Path) -> None:
    small, bad = {"windows": {"horizon": 8}}, {"windows": {"horizon": 0}}
    path = write(tmp_path, content() | {"presets": {"small": small, "bad": bad}})
    assert load_preset(path, "small")["windows"] == {"context": 64, "horizon": 8}
    with pytest.raises(ParamsError, match=r"with preset bad: windows\.horizon"):
        load_preset(path, "bad")
    with pytest.raises(ParamsError, match="there is no preset 'big'; presets: small, bad"):
        load_preset(path, "big")


def test_a_part_of_the_models_brings_only_what_it_starts_from() -> None:
    whole = content()
    run = only_models(whole, ["alone"], "--models")["run"]
    assert whole == content(), "the whole stays as it is"
    assert (run["models"], run["pretrain"], run["imports"]) == ({"alone": "none"}, {}, {})
    run = only_models(content(), ["pruned", "tuned"], "--models")["run"]
    assert list(run["models"]) == ["tuned", "pruned"], "in the order of the preset"
    assert (run["pretrain"], list(run["imports"])) == ({"base": "x"}, ["bolt"])
    message = r"--models: run\.models has no 'bolt'; it has alone, tuned"
    with pytest.raises(ParamsError, match=message):
        only_models(content(), ["alone", "bolt"], "--models")


def test_checkpoints_are_found_from_a_workspace_elsewhere(tmp_path: Path) -> None:
    moved = from_elsewhere(content(), tmp_path)
    folder = str(tmp_path / "checkpoints/bolt")
    assert moved["models"]["bolt"]["start"]["path"] == folder
    assert moved["run"]["imports"] == {"bolt": folder, "far": NOT_LOCAL}
    validate_params(moved, "moved")
    assert from_elsewhere(moved, tmp_path / "other") == moved, "an absolute path stays"


def test_what_is_written_reads_back_in_its_order(tmp_path: Path) -> None:
    shared = {"b": 1, "a": 2}
    path = write(tmp_path, {"y": shared, "x": {"d": shared, "c": 1e-3}})
    read = read_yaml(path)
    assert read == {"y": shared, "x": {"d": shared, "c": 1e-3}}
    assert (list(read), list(read["y"]), list(read["x"])) == (["y", "x"], ["b", "a"], ["d", "c"])
