"""Training that keeps no activations inside blocks, by whatever name a module offers it."""

from torch import nn

# of transformers, whose version 6 drops the second; our own nets have the first
NAMES = ("activation_checkpointing_enable", "gradient_checkpointing_enable")


def checkpoint_blocks(module: nn.Module) -> bool:
    """Makes training compute what lies inside the module's blocks anew; False where it cannot."""
    can = getattr(module, "supports_gradient_checkpointing", True)  # of transformers
    enable = next((getattr(module, name) for name in NAMES if hasattr(module, name)), None)
    if not can or enable is None:
        return False
    enable()
    return True
