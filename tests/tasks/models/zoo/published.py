"""What a model at a published size holds, without its memory."""

from typing import Any

import torch

from tasks.models.families import zoo_class


def names_and_shapes(family: str, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """By name the shape of every stored tensor of a family's module, built on the meta device."""
    kind = zoo_class(family)
    with torch.device("meta"):
        net = kind.build_backbone(kind.complete(config))
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
