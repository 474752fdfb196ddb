"""Moirai 1.0 and 1.1 (Woo et al. 2024, arXiv 2402.02592; uni2ts 1.2 and 2.0): a masked encoder.

The tokens of the horizon are masks, so a forecast of any horizon is one pass, and it depends on how
many patches the horizon has. The head gives a mixture of four distributions per value.

Options of a model entry:
    patch_size: values of a token, one of the config's patch_sizes; 32 unless said, or the next
        smaller one (the library's own choice by trial needs a horizon more of context).
    samples: how many draws the quantiles are made of; 100 unless said, as in the library.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.family import ZooConfig, ZooModel, outputs_on_data_scale
from tasks.models.zoo.moirai_encoder import STACK, check_fields
from tasks.models.zoo.moirai_mixture import Mixture, SampledQuantiles
from tasks.models.zoo.moirai_net import MoiraiNet

OPTIONS = ("patch_size", "samples")
SAMPLES, PATCH = 100, 32
MODULE = "uni2ts.distribution"
MIXTURE = {
    "_target_": f"{MODULE}.mixture.MixtureOutput",
    "components": [
        {"_target_": f"{MODULE}.student_t.StudentTOutput"},
        {"_target_": f"{MODULE}.normal.NormalFixedScaleOutput", "scale": 0.001},
        {"_target_": f"{MODULE}.negative_binomial.NegativeBinomialOutput"},
        {"_target_": f"{MODULE}.log_normal.LogNormalOutput"},
    ],
}
DEFAULTS = {
    "patch_sizes": [8, 16, 32, 64, 128],
    "max_seq_len": 512,
    "attn_dropout_p": 0.0,
    "dropout_p": 0.0,
    "scaling": True,
    "distr_output": MIXTURE,
}


def nll_loss(mixture: Mixture, target: Float[Tensor, "B H"]) -> Float[Tensor, ""]:
    """The library's loss: negative log-likelihood, mean over observed values, then over series."""
    observed = torch.isfinite(target)
    losses = -mixture.log_prob(torch.where(observed, target, mixture.loc))
    each = torch.where(observed, losses, 0.0).sum(1) / observed.sum(1).clamp(min=1)
    return each.mean()


class Moirai(ZooModel):
    """Moirai 1 of any size, for one series at a time.

    The mean is the mixture's own, without samples, so that it has gradients. Quantiles are of
    samples, drawn from the same seed every time.
    """

    stacks: tuple[Stack, ...] = (STACK,)

    def __init__(self, config: ZooConfig) -> None:
        """Builds with random weights from torch's global seed. Raises ParamsError."""
        super().__init__(config)
        sizes = config.backbone_config["patch_sizes"]
        smaller = [size for size in sizes if size <= PATCH]
        self.patch = int(config.options.get("patch_size", max(smaller) if smaller else min(sizes)))
        self.samples = int(config.options.get("samples", SAMPLES))
        if self.patch not in sizes:
            raise ParamsError(
                f"options.patch_size: the model has patches of {sizes}; got {self.patch}"
            )

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises ParamsError unless these options of a model entry fit the family."""
        for name, value in options.items():
            if name not in OPTIONS:
                raise ParamsError(f"options: moirai has {', '.join(OPTIONS)}; got {name!r}")
            if type(value) is not int or value < 1:
                raise ParamsError(f"options.{name}: must be a whole number from 1; got {value!r}")

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        check_fields("moirai", data, ("d_model", "num_layers"))
        return {**DEFAULTS, **data}

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The module with random weights, from the library's config as data."""
        return MoiraiNet(data)

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the encoder."""
        return int(data["num_layers"])

    def tail(self) -> list[nn.Module]:
        """The final norm and the head."""
        return [*super().tail(), self.backbone.param_proj]

    def _unused_parameters(self) -> int:
        unused: int = self.backbone.unused(self.patch)  # those of other patch sizes
        return unused

    def _mixture(self, context: Float[Tensor, "B context"], horizon: int) -> Mixture:
        longest = int(self.config.backbone_config["max_seq_len"]) * self.patch
        mixture: Mixture = self.backbone(context[:, -longest:], horizon, self.patch)
        return mixture

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The mean forecasts; the loss is the library's, the negative log-likelihood."""
        context, horizon = self.config.context, self.config.horizon
        mixture = self._mixture(window[:, :context], horizon)
        loss = nll_loss(mixture, window[:, context : context + horizon])
        return outputs_on_data_scale(mixture.mean, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Mean and quantiles of the next `horizon` values, all of one pass."""
        mixture = self._mixture(context, horizon)
        return Forecast(mixture.mean, SampledQuantiles(mixture, self.samples))
