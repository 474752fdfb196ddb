"""How nets of our own are compared with the published code without an environment for it.

`make parity` makes one and compares at larger sizes. Numbers in the tests were made once by the
published code (transformers 4.40.1) with the weights of `fix_weights` on the series of
`fixed_series`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.models.zoo.decoder import DecoderNet
from tasks.models.zoo.decoder_family import DecoderModel

LIST = re.compile(r"(layers|experts|res_blocks)\.\d+\.")


def fixed_series(length: int = 100) -> Tensor:
    """Three series on different scales."""
    time = torch.arange(length) + torch.tensor([[0.0], [7.0], [31.0]])
    waves = torch.sin(time / 5) + 0.5 * torch.sin(time * 1.7)
    return waves * torch.tensor([[1.0], [3.0], [0.2]]) + torch.tensor([[5.0], [-2.0], [0.0]])


def fix_weights(net: nn.Module) -> nn.Module:
    """Sets all parameters by a formula of their place in the order of names; in eval mode."""
    for number, (name, parameter) in enumerate(sorted(net.named_parameters())):
        wave = torch.sin(torch.arange(parameter.numel()) * 0.7 + 1.3 * number)
        base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        with torch.no_grad():
            parameter.copy_((base + 0.2 * wave).view_as(parameter))
    return net.eval()


def keys_by_pattern(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict, those of alike blocks and experts once."""
    return {
        LIST.sub(lambda found: f"{found[1]}.*.", name): tuple(tensor.shape)
        for name, tensor in net.state_dict().items()
    }


def at_published_size(family: type[DecoderModel], data: Mapping[str, Any]) -> nn.Module:
    """The net without memory for its weights."""
    with torch.device("meta"):
        return family.build_backbone(family.complete(dict(data)))


def strictly_loaded(family: type[DecoderModel], folder: Path) -> DecoderNet:
    """A plain net of `backbone/`: built from config.json, every key loaded and none left over."""
    data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    net = family.build_backbone(data)
    net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    assert isinstance(net, DecoderNet)
    return net.eval()
