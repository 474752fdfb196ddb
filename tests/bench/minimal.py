"""A minimal hand-written decoder of the same shape: what a training step costs at least."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """RMSNorm, fused qkv, scaled_dot_product_attention, MLP of four widths."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.before_attention(x)).view(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [batch, heads, tokens, head width]
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        mlp: Tensor = self.down(F.gelu(self.up(self.before_mlp(x))))
        return x + mlp


class Minimal(nn.Module):
    """Patch embedding, blocks, per-token head; instance-normalised input."""

    def __init__(
        self, *, blocks: int, width: int, heads: int, context: int, patch: int, horizon: int
    ) -> None:
        super().__init__()
        self.context, self.patch, self.horizon = context, patch, horizon
        self.embedding = nn.Linear(patch, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, horizon)

    def loss(self, window: Tensor) -> Tensor:
        """Mean squared error of every token's forecast."""
        past = window[:, : self.context]
        mean, scale = past.mean(1, keepdim=True), past.std(1, keepdim=True) + 1e-5
        tokens = ((past - mean) / scale).unfold(1, self.patch, self.patch)
        forecast = self.head(self.norm(self.blocks(self.embedding(tokens))))
        target = window[:, self.patch :].unfold(1, self.horizon, self.patch)
        loss: Tensor = ((forecast * scale[..., None] + mean[..., None]) - target).square().mean()
        return loss


def minimal_step(model: Minimal, optimizer: torch.optim.Optimizer, window: Tensor) -> float:
    """One whole training step; returns the loss."""
    loss = model.loss(window)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())
