"""The family of a checkpoint, from configs as their publishers write them (shortened)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import CheckpointError
from tasks.models.detect import family_in, family_of

CONFIGS: list[tuple[str, dict[str, Any]]] = [
    (
        "chronos_bolt",
        {
            "architectures": ["ChronosBoltModelForForecasting"],
            "chronos_pipeline_class": "ChronosBoltPipeline",
            "chronos_config": {},
            "model_type": "t5",
        },
    ),
    ("chronos_bolt", {"architectures": ["ChronosBoltModelForForecasting"], "model_type": "t5"}),
    (
        "chronos2",
        {"architectures": ["Chronos2Model"], "chronos_pipeline_class": "Chronos2Pipeline"},
    ),
    (
        "chronos_t5",
        {"architectures": ["T5ForConditionalGeneration"], "chronos_config": {}, "model_type": "t5"},
    ),
    ("timesfm2", {"architectures": ["TimesFmModelForPrediction"], "model_type": "timesfm"}),
    ("timesfm2_5", {"architectures": ["TimesFm2_5ModelForPrediction"], "model_type": "timesfm2_5"}),
    ("patchtst", {"architectures": ["PatchTSTForPretraining"], "model_type": "patchtst"}),
    ("sundial", {"architectures": ["SundialForPrediction"], "model_type": "sundial"}),
    ("timer", {"architectures": ["TimerForPrediction"], "model_type": "timer"}),
    ("time_moe", {"architectures": ["TimeMoeForPrediction"], "model_type": "time_moe"}),
    ("moment", {"model_name": "MOMENT", "t5_config": {}, "seq_len": 512}),
    ("moirai", {"d_model": 384, "distr_output": {}, "patch_sizes": [8, 16], "num_layers": 6}),
    ("moirai2", {"d_model": 384, "quantile_levels": [0.1], "num_predict_token": 4}),
]


@pytest.mark.parametrize(("family", "config"), CONFIGS)
def test_the_family_is_told_from_the_config(family: str, config: dict[str, Any]) -> None:
    assert family_of(config) == family


def test_a_checkpoint_of_no_known_family_lists_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match=r"model_type 'bert'\); give --family, one of chron"):
        family_in(tmp_path)


def test_a_text_model_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(CheckpointError, match=r"a text model \(gpt2\); give --family timellm"):
        family_in(tmp_path)
