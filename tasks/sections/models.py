"""The sections `scales`, `models` and `training`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.sections.base import (
    Count,
    Depth,
    Length,
    Name,
    NonNegative,
    Positive,
    Section,
    Share,
    Steps,
)


class Scale(Section):
    """One size of the backbone, with the learning rate that suits it."""

    backbone: Literal["gpt2", "qwen3", "llama"]
    blocks: Depth
    width: Annotated[int, Field(ge=8, le=16_384)]
    heads: Annotated[int, Field(ge=1, le=256)]
    kv_heads: Annotated[int, Field(ge=1, le=256)] | None = None
    head_dim: Annotated[int, Field(ge=2, le=512)] | None = None
    mlp_width: Annotated[int, Field(ge=8, le=65_536)] | None = None
    learning_rate: Positive

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_dim is None and self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self


class RandomStart(Section):
    """Random initialisation from `seed`."""

    kind: Literal["random"]


def is_random(start: "Start | None") -> bool:
    """Whether a model begins at random weights; None, where an entry names no start, is random."""
    return start is None or isinstance(start, RandomStart)


class PretrainedStart(Section):
    """The weights of another model entry, pretrained on a mix (`run.pretrain`)."""

    kind: Literal["pretrained"]
    model: Name


HubId = Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]


class FolderStart(Section):
    """A transformers checkpoint in a local folder (config.json + safetensors)."""

    kind: Literal["folder"]
    path: str
    id: HubId | None = None  # of the model on the hub that it is, for the card of what is made


class HubStart(Section):
    """A transformers checkpoint on the Hugging Face hub, at one pinned revision."""

    kind: Literal["hub"]
    id: HubId
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


Start = Annotated[
    RandomStart | PretrainedStart | FolderStart | HubStart, Field(discriminator="kind")
]


class Training(Section):
    """How a model is trained; a model entry may override any of it."""

    steps: Steps = 1000
    batch_size: Count = 64
    accumulation: Count = 1  # micro-batches per optimizer step
    learning_rate: Positive | None = None  # None: the scale's
    # learning rates tried first; the best by validation is taken
    sweep_rates: list[Positive] = Field(default=[])
    sweep_steps: Count = 100  # of each of them
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: NonNegative = 0.01
    betas: tuple[float, float] = Field(default=(0.9, 0.95), strict=False)
    clip_norm: Positive = 1.0
    eval_every: Count = 50
    patience: Count = 8  # evaluations without a better one
    valid_windows: Count = 1024
    checkpoint_every: Count = 100
    loss: Literal["mse", "huber", "native"] = "mse"  # native: of a published family, its own
    loss_space: Literal["scaled", "normalised"] = "scaled"
    target_clip: Positive | None = None  # |normalised target| is cut here
    last_weight: Positive = 1.0  # of the last position in the loss (per-token head)
    train_share: Share = 1.0  # of the training rows, the last ones
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    activation_checkpointing: bool = False


def check_training(overrides: dict[str, Any]) -> None:
    """Raises ValueError unless a model entry may lay these over the section `training`."""
    unknown = set(overrides) - set(Training.model_fields)
    if unknown:
        raise ValueError(f"training has no setting named {sorted(unknown)[0]!r}")
    Training.model_validate(overrides)


class ModelEntry(Section):
    """One model: a family at a scale, where its weights start, and its training overrides."""

    family: Literal["tsfm", "llm4ts"]
    scale: Name
    backbone: Literal["gpt2", "qwen3", "llama"] | None = None  # None: the scale's
    head: Literal["per_token", "flatten", "next_patch"] = "per_token"
    patch: Length = 32
    stride: Length | None = None  # None: patch
    start: Start | None = None
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _start_is_said(self) -> Self:
        if self.family == "llm4ts" and self.start is None:
            raise ValueError(
                "an llm4ts model needs `start`: {kind: folder, path: DIR}, {kind: hub, id: ID, "
                "revision: COMMIT}, or, for a random backbone on purpose, {kind: random}"
            )
        check_training(self.training)
        if self.training.get("loss") == "native":
            raise ValueError("loss: native is for published families; set mse or huber")
        return self
