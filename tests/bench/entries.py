"""The entries of params.yaml that the benchmarks use: models of our own families, with a scale."""

from tasks.params import Params
from tasks.sections.models import ModelEntry, Scale


def native_entry(params: Params, name: str) -> tuple[ModelEntry, Scale]:
    """A model entry and its scale."""
    entry = params.models[name]
    assert isinstance(entry, ModelEntry), f"models.{name} in params.yaml has no scale"
    return entry, params.scales[entry.scale]
