"""Sundial's head: a small net that turns noise into the next values, given a token's state.

It is trained by flow matching (Lipman et al. 2023) on straight paths from noise at time 0 to data
at time 1, and guesses the data itself. Names are those of the checkpoint (`flow_loss.*`).

Shapes: B batch, W width, S samples, H values that are sampled at once.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

FREQUENCIES = 256  # of the time embedding
TIME_SCALE = 1000.0


def _modulated(states: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return states * (1 + scale) + shift


class TimeEmbedding(nn.Module):
    """Sinusoids of the time between noise (0) and data (1), and an MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Float[Tensor, " rows"]) -> Float[Tensor, "rows W"]:
        """One vector per time."""
        half = FREQUENCIES // 2
        places = torch.arange(half, dtype=torch.float32, device=time.device)
        frequencies = torch.exp(-math.log(10000) * places / half)
        angles = (time * TIME_SCALE)[:, None].float() * frequencies
        waves = torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)
        output: Tensor = self.mlp(waves.to(time.dtype))
        return output


class FlowBlock(nn.Module):
    """Residual MLP whose norm and gate follow the condition (adaptive layer norm)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(
        self, states: Float[Tensor, "rows W"], condition: Float[Tensor, "rows W"]
    ) -> Float[Tensor, "rows W"]:
        """The states after the block."""
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        output: Tensor = states + gate * self.mlp(_modulated(self.in_ln(states), shift, scale))
        return output


class FlowEnd(nn.Module):
    """The last map of the flow net, behind an adaptive norm without weights."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(
        self, states: Float[Tensor, "rows W"], condition: Float[Tensor, "rows W"]
    ) -> Float[Tensor, "rows H"]:
        """Values."""
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        output: Tensor = self.linear(_modulated(self.norm_final(states), shift, scale))
        return output


class FlowNet(nn.Module):
    """Guesses the data from values between noise and data, their time and the token's state."""

    def __init__(self, values: int, width: int, depth: int) -> None:
        super().__init__()
        self.time_embed = TimeEmbedding(width)
        self.cond_embed = nn.Linear(width, width)
        self.input_proj = nn.Linear(values, width)
        self.res_blocks = nn.ModuleList(FlowBlock(width) for _ in range(depth))
        self.final_layer = FlowEnd(width, values)

    def forward(
        self,
        mixed: Float[Tensor, "rows H"],
        time: Float[Tensor, " rows"],
        state: Float[Tensor, "rows W"],
    ) -> Float[Tensor, "rows H"]:
        """The guess."""
        condition = self.time_embed(time) + self.cond_embed(state)
        states = self.input_proj(mixed)
        for block in self.res_blocks:
            states = block(states, condition)
        output: Tensor = self.final_layer(states, condition)
        return output


class FlowLoss(nn.Module):
    """Flow matching on straight paths from noise to data: its loss, and samples by Euler steps."""

    def __init__(self, values: int, width: int, depth: int, steps: int) -> None:
        super().__init__()
        self.values, self.steps = values, steps
        self.net = FlowNet(values, width, depth)

    def forward(
        self,
        target: Float[Tensor, "rows H"],
        state: Float[Tensor, "rows W"],
        observed: Bool[Tensor, "rows H"],
    ) -> Float[Tensor, ""]:
        """Mean squared error of the guesses, step h weighted by 1 / h, over rows with a target."""
        noise = torch.randn_like(target)
        time = torch.rand(len(target), device=target.device, dtype=target.dtype)
        mixed = time[:, None] * target + (1 - time[:, None]) * noise
        error = torch.where(observed, self.net(mixed, time, state) - target, 0.0)
        weights = 1.0 / torch.arange(1, self.values + 1, dtype=target.dtype, device=target.device)
        return (weights * error.square()).sum() / observed.any(1).sum().clamp(min=1)

    def sample(
        self,
        state: Float[Tensor, "B W"],
        noise: Float[Tensor, "S_B H"],
        steps: int | None = None,
    ) -> Float[Tensor, "B S H"]:
        """Samples from noise, whose rows are all windows of sample 0, then of sample 1, ...

        With one step a sample is the guess from noise alone, whose best value is the mean.
        """
        steps = self.steps if steps is None else steps
        samples, step = len(noise) // len(state), 1.0 / steps
        state, values = state.repeat(samples, 1), noise
        for number in range(steps):
            time = torch.full_like(noise[:, 0], number / steps)
            values = values + (self.net(values, time, state) - noise) * step
        return values.view(samples, -1, self.values).transpose(0, 1)
