"""The family of a checkpoint, from its config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from tasks.errors import CheckpointError, ParamsError
from tasks.models.upstream import checkpoint_config
from tasks.sections.zoo import ZooFamily

PIPELINES: Mapping[str, ZooFamily] = {
    "ChronosBoltPipeline": "chronos_bolt",
    "Chronos2Pipeline": "chronos2",
    "ChronosPipeline": "chronos_t5",
}
ARCHITECTURES: Mapping[str, ZooFamily] = {
    "ChronosBoltModelForForecasting": "chronos_bolt",
    "Chronos2Model": "chronos2",
    "TimesFmModelForPrediction": "timesfm2",
    "TimesFm2_5ModelForPrediction": "timesfm2_5",
    "PatchTSTForPrediction": "patchtst",
    "SundialForPrediction": "sundial",
    "TimerForPrediction": "timer",
    "TimeMoeForPrediction": "time_moe",
}
MODEL_TYPES: Mapping[str, ZooFamily] = {
    "timesfm": "timesfm2",
    "timesfm2_5": "timesfm2_5",
    "patchtst": "patchtst",
    "sundial": "sundial",
    "timer": "timer",
    "time_moe": "time_moe",
}
_ZOO_FAMILY: TypeAdapter[ZooFamily] = TypeAdapter(ZooFamily)
TEXT = ("gpt2", "qwen3", "llama")


def family_of(config: Mapping[str, Any]) -> ZooFamily | None:
    """The family that a checkpoint's config.json speaks of; None where it cannot be told."""
    pipeline = str(config.get("chronos_pipeline_class"))
    if pipeline in PIPELINES:
        return PIPELINES[pipeline]
    for name in config.get("architectures") or ():
        if name in ARCHITECTURES:
            return ARCHITECTURES[name]
    if "chronos_config" in config:
        return "chronos_t5"
    if config.get("model_type") in MODEL_TYPES:
        return MODEL_TYPES[config["model_type"]]
    if "t5_config" in config or config.get("model_name") == "MOMENT":
        return "moment"
    if "distr_output" in config and "patch_sizes" in config:
        return "moirai"
    if "quantile_levels" in config and "num_predict_token" in config:
        return "moirai2"
    return None


def family_in(folder: Path) -> ZooFamily:
    """The family of the checkpoint in a folder. Raises CheckpointError where it cannot be told."""
    config = checkpoint_config(folder)
    found = family_of(config)
    if found is not None:
        return found
    kind = config.get("model_type")
    if kind in TEXT:
        raise CheckpointError(
            f"{folder / 'config.json'}: a text model ({kind}); give --family timellm, or write an "
            "entry of the family llm4ts, which needs a scale, by hand"
        )
    families = ", ".join(get_args(ZooFamily))
    raise CheckpointError(
        f"{folder / 'config.json'}: its family cannot be told from it (model_type {kind!r}); give "
        f"--family, one of {families}"
    )


def family_named(name: str) -> ZooFamily:
    """A family that a person named. Raises ParamsError where there is none of that name."""
    try:
        return _ZOO_FAMILY.validate_python(name)
    except ValidationError:
        families = ", ".join(get_args(ZooFamily))
        raise ParamsError(f"--family: must be one of {families}; got {name!r}") from None
