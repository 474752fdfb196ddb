"""What the published families share: their config, and how an instance is made of a checkpoint."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.base import ForecastModel, ModelConfig
from tasks.models.interface import Outputs
from tasks.models.normalise import normalise
from tasks.sections.data import Windows

Dtype = Literal["float32", "bfloat16", "float16"]


class ZooConfig(ModelConfig):
    """config.json of a published model.

    Attributes:
        dtype: of the stored weights, as the checkpoint has them; they are computed with in fp32.
        options: what the entry in params.yaml says beside the checkpoint.
    """

    dtype: Dtype = "float32"
    options: dict[str, Any] = Field(default_factory=dict)


class Plan(NamedTuple):
    """What a model is built of.

    Attributes:
        data: the library's config with its defaults filled in.
        options: of the model entry, and what was found out with their help.
        blocks: number of blocks over all stacks.
    """

    data: dict[str, Any]
    options: dict[str, Any]
    blocks: int


class ZooModel(ForecastModel):
    """A model of a published family, around the module that its own library saves and loads."""

    CONFIG: ClassVar[type[ZooConfig]] = ZooConfig
    config: ZooConfig

    def __init__(self, config: ZooConfig) -> None:
        """Builds with random weights from torch's global seed."""
        super().__init__()
        self.config = config
        self.backbone = self.build_backbone(config.backbone_config)

    @classmethod
    @abstractmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, from its own config as data."""

    @classmethod
    @abstractmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """How many blocks a config asks for, over all stacks."""

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises ParamsError unless these options of a model entry fit the family."""
        if options:
            raise ParamsError(f"this family has no option {sorted(options)[0]!r}")

    @classmethod
    def create(
        cls,
        data: Mapping[str, Any],
        windows: Windows,
        *,
        family: str,
        origin: str,
        options: Mapping[str, Any],
        dtype: Dtype = "float32",
    ) -> Self:
        """A model with random weights.

        Args:
            data: the library's config, complete or with its defaults left out.
            windows: context and horizon.
            family: its name in params.yaml.
            origin: where the weights come from, or will.
            options: of the model entry.
            dtype: of the weights when they are saved.
        """
        cls.check_options(options)
        plan = cls.plan(data, windows, options)
        return cls(
            cls.CONFIG(
                family=family,
                backbone_config=plan.data,
                context=windows.context,
                horizon=windows.horizon,
                kept=tuple(range(plan.blocks)),
                origin=origin,
                dtype=dtype,
                options=plan.options,
            )
        )

    @classmethod
    def plan(cls, data: Mapping[str, Any], windows: Windows, options: Mapping[str, Any]) -> Plan:  # noqa: ARG003
        """What `create` builds of a library's config, the windows and checked options."""
        whole = cls.complete(dict(data))
        return Plan(whole, dict(options), cls.count_blocks(whole))

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        return data

    @classmethod
    def upstream_tensors(cls, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors under the backbone's names, what is never needed left out."""
        return dict(tensors)

    def tensors_to_load(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`upstream_tensors`, and the model's own where a family starts a part of it anew."""
        return self.upstream_tensors(tensors)

    def library_config(self) -> dict[str, Any]:
        """config.json of backbone/, as the model's own library wants it."""
        return dict(self.config.backbone_config)

    def stored_state(self) -> dict[str, Tensor]:
        """The tensors of a model folder, in the checkpoint's own precision."""
        dtype = getattr(torch, self.config.dtype)
        return {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in super().stored_state().items()
        }


def outputs_on_data_scale(
    prediction: Float[Tensor, "B H"],
    window: Float[Tensor, "B length"],
    context: int,
    loss: Float[Tensor, ""] | None = None,
) -> Outputs:
    """Outputs of a model that forecasts the horizon once, on the scale of the data.

    Args:
        prediction: of the values after the context.
        window: context + horizon values, NaN = missing.
        context: values of the context.
        loss: the family's own.
    """
    _, _, mean, scale = normalise(window[:, :context])
    target = window[:, context : context + prediction.shape[1]]
    observed = torch.isfinite(target)
    normalised = torch.where(observed, (target - mean) / scale, 0.0)
    return Outputs(
        ((prediction - mean) / scale)[:, None],
        normalised[:, None],
        observed[:, None],
        scale[..., None],
        loss,
    )
