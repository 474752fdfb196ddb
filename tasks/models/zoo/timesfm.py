"""What TimesFM 2.0 and 2.5 share (Das et al. 2024, arXiv 2310.10688): contexts, rolling, the loss.

The library's module forecasts one block of steps per call, for series without gaps: those are
interpolated and leading ones cut off, as in the authors' own package.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from tasks.models.interface import Forecast, Outputs
from tasks.models.normalise import normalise
from tasks.models.zoo.family import ZooModel, outputs_on_data_scale
from tasks.models.zoo.gaps import filled, first_observed
from tasks.models.zoo.library import build_model, family_config


class TimesFm(ZooModel):
    """TimesFM of one release.

    A block of forecasts has the shape [B, steps, columns]: column 0 is the mean, the others are
    the quantiles.

    Attributes:
        LIBRARY_CONFIG: transformers' class of its configs.
        LIBRARY_MODEL: transformers' class of its module.
    """

    LIBRARY_CONFIG: ClassVar[type[PretrainedConfig]]
    LIBRARY_MODEL: ClassVar[type[PreTrainedModel]]

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        return family_config(cls.LIBRARY_CONFIG, data, cls.LIBRARY_MODEL)

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, from its own config as data."""
        return build_model(cls.LIBRARY_MODEL, cls.LIBRARY_CONFIG, data)

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the decoder."""
        return int(data["num_hidden_layers"])

    @property
    @abstractmethod
    def _point(self) -> int:
        """The column that is the point forecast."""

    @abstractmethod
    def _run(self, series: Sequence[Tensor], length: int) -> Float[Tensor, "B steps columns"]:
        """One block of forecasts of series of at most `length` values, a multiple of a patch."""

    def _limit(
        self,
        found: Float[Tensor, "B H columns"],
        context: Float[Tensor, "B context"],  # noqa: ARG002
    ) -> Float[Tensor, "B H columns"]:
        """Forecasts within what the release allows after this context."""
        return found

    def _block(self, context: Float[Tensor, "B context"]) -> Float[Tensor, "B steps columns"]:
        config = self.backbone.config
        patch = config.patch_length
        context = context[:, -(config.context_length // patch * patch) :]
        starts = first_observed(context).tolist()
        series = [row[start:] for row, start in zip(filled(context), starts, strict=True)]
        patches = -(-max(len(row) for row in series) // patch)
        return self._run(series, patches * patch)

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The point forecasts of one block, without limits; steps beyond it take no part.

        The loss is the library's, squared error plus mean quantile loss, normalised by the context
        and over the observed targets.
        """
        context = self.config.context
        found = self._block(window[:, :context])[:, : self.config.horizon]
        _, _, mean, scale = normalise(window[:, :context])
        target = window[:, context : context + found.shape[1]]
        loss = point_and_quantile_loss(
            (found - mean[..., None]) / scale[..., None],
            (target - mean) / scale,
            torch.isfinite(target),
            point=self._point,
            levels=self.backbone.config.quantiles,
        )
        return outputs_on_data_scale(found[..., self._point], window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Mean and quantiles of the next `horizon` values; NaN in the context = missing.

        A horizon beyond one block is rolled: point forecasts are appended to the context, as the
        authors' own package does.
        """
        pieces, seen = [self._block(context)], context
        while sum(piece.shape[1] for piece in pieces) < horizon:
            seen = torch.cat([seen, pieces[-1][..., self._point]], dim=1)
            pieces.append(self._block(seen))
        found = self._limit(torch.cat(pieces, dim=1)[:, :horizon], context)
        levels = enumerate(self.backbone.config.quantiles, start=1)
        quantiles = {round(float(level), 6): found[..., column] for column, level in levels}
        return Forecast(found[..., self._point], quantiles)


def point_and_quantile_loss(
    prediction: Float[Tensor, "B H columns"],
    target: Float[Tensor, "B H"],
    observed: Bool[Tensor, "B H"],
    *,
    point: int,
    levels: Sequence[float],
) -> Float[Tensor, ""]:
    """Squared error of the point forecast plus the quantile loss, a mean over the levels.

    Args:
        prediction: the mean and then the quantiles.
        target: what came; anything where it was not observed.
        observed: which targets count.
        point: the column of the point forecast.
        levels: of the quantiles.
    """
    error = torch.where(observed, target, 0.0)[..., None] - prediction
    error = torch.where(observed[..., None], error, 0.0)
    level = torch.tensor(levels, dtype=error.dtype, device=error.device)
    pinball = torch.maximum((level - 1) * error[..., 1:], level * error[..., 1:]).mean(-1)
    total = (error[..., point].square() + pinball).sum()
    return total / observed.sum().clamp(min=1)
