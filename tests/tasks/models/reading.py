"""What every saved native model must hold, whatever was dropped of it."""

from pathlib import Path

import torch
from transformers import AutoModel

from tasks.models.native import NativeModel


def assert_transformers_reads_it(model: NativeModel, folder: Path) -> None:
    """`AutoModel` loads the saved backbone with no key missing or new, and gives the same states.

    Args:
        model: of width 16.
        folder: where it is saved.
    """
    model.save(folder)
    loaded, info = AutoModel.from_pretrained(folder / "backbone", output_loading_info=True)
    assert {key: value for key, value in info.items() if value} == {}
    embedded = torch.randn(2, 3, 16)
    with torch.no_grad():
        ours = model.backbone(inputs_embeds=embedded, use_cache=False).last_hidden_state
        theirs = loaded.eval()(inputs_embeds=embedded, use_cache=False).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)  # our RMSNorm is fused
