"""Time-LLM (Jin et al. 2024, arXiv 2310.01728) on GPT-2, Llama or Qwen3.

The language model is frozen. Patches of the context are reprogrammed: they attend to text
prototypes, which are learned combinations of the model's word embeddings, and so become tokens it
knows; a prompt, given as token ids, may stand before them. What it makes of the patches, cut to
the first `d_ff` features, is flattened and mapped to the horizon.

The statistics that the published prompt tells of each window are left out, as they need a
tokenizer on every batch. Missing values count as the mean of the context. `backbone/` holds the
language model alone, as transformers.AutoModel reads it; all else is in model.safetensors.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.backbones import CONFIGS, STACKS, BackboneName, build_backbone
from tasks.models.interface import Forecast, Outputs
from tasks.models.normalise import fit_length, normalise
from tasks.models.rolling import rolled
from tasks.models.walk import Walk, record_steps
from tasks.models.zoo.family import ZooConfig, ZooModel, outputs_on_data_scale
from tasks.models.zoo.library import complete_config
from tasks.models.zoo.options import checked_options
from tasks.models.zoo.reprogramming import PatchEmbedding, Reprogramming

PREFIX = re.compile(r"^(transformer|model)\.")  # of a language model with its head
NOT_NEEDED = re.compile(r"^lm_head\.|\.attn\.(masked_)?bias$|rotary_emb\.inv_freq$")
Count = Annotated[int, Field(ge=1)]


class TimeLlmOptions(BaseModel):
    """Options of an entry; the defaults are those of the published scripts.

    Attributes:
        patch: values of a patch, at most windows.context.
        stride: values from one patch to the next, at most `patch`.
        d_model: width of the patch embedding.
        heads: of the reprogramming attention.
        d_ff: width of each of its heads, and how many features of the language model are used.
        prototypes: learned combinations of word embeddings.
        dropout: of patch embedding and reprogramming.
        prompt_ids: token ids that stand before the patches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    patch: Count = 16
    stride: Count = 8
    d_model: Count = 32
    heads: Count = 8
    d_ff: Count = 128
    prototypes: Count = 1000
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    prompt_ids: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)


def language_model(data: Mapping[str, Any]) -> BackboneName:
    """The backbone that a config's `model_type` names. Raises ParamsError."""
    for name in STACKS:
        if data.get("model_type") == name:
            return name
    raise ParamsError(
        f"timellm: the config or shape needs model_type, one of {', '.join(STACKS)}; "
        f"got {data.get('model_type')!r}"
    )


class TimeLlm(ZooModel):
    """A frozen language model with a patch embedding, a reprogramming layer and a head."""

    def __init__(self, config: ZooConfig) -> None:
        """Builds with random weights from torch's global seed."""
        options = checked_options(TimeLlmOptions, config.options, "timellm")
        _check_fit(options, config)
        super().__init__(config)
        self.options = options
        stack = STACKS[language_model(config.backbone_config)]
        self.stacks = (replace(stack, output=stack.parts[-1].output),)
        words, text = self.backbone.get_input_embeddings().weight.shape
        self.embedding = PatchEmbedding(
            options.patch, options.stride, options.d_model, options.dropout
        )
        self.reprogramming = Reprogramming(
            options.d_model,
            text,
            words,
            prototypes=options.prototypes,
            heads=options.heads,
            keys=options.d_ff,
            dropout=options.dropout,
        )
        self.head = nn.Linear(options.d_ff * self.num_tokens, config.horizon)
        self.backbone.requires_grad_(False)

    @property
    def num_tokens(self) -> int:
        """Patches of one context; one more than fit, from padding by one stride."""
        return (self.config.context - self.options.patch) // self.options.stride + 2

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises ParamsError unless these options of a model entry fit the family."""
        checked_options(TimeLlmOptions, options, "timellm")

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The language model's config with its defaults filled in."""
        return complete_config(CONFIGS[language_model(data)], data, "timellm")

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The language model with random weights, from its own config as data."""
        return build_backbone(language_model(data), dict(data))

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the language model."""
        return int(data[STACKS[language_model(data)].depth])

    @classmethod
    def upstream_tensors(cls, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors without the text head, its own or of the model with the head."""
        return {
            PREFIX.sub("", name): tensor
            for name, tensor in tensors.items()
            if not NOT_NEEDED.search(name)
        }

    def library_config(self) -> dict[str, Any]:
        """The language model's config as transformers stores it."""
        return super().library_config() | {"architectures": [type(self.backbone).__name__]}

    def stored_state(self) -> dict[str, Tensor]:
        """The language model in the checkpoint's own precision; what is trained as it is."""
        own = {n: t for n, t in self.state_dict().items() if not n.startswith("backbone.")}
        return super().stored_state() | own

    def with_random_weights(self, seed: int) -> Self:
        """A new model of the same shape with random weights, its language model trained too.

        Random attention that stays frozen would be no rival.
        """
        model = super().with_random_weights(seed)
        model.backbone.requires_grad_(True)
        return model

    def embedding_map(self) -> nn.Module | None:
        """The reprogramming's last map; None with a prompt, whose tokens it does not make."""
        return None if self.options.prompt_ids else self.reprogramming.output

    def tail(self) -> list[nn.Module]:
        """The final norm and the head."""
        return [*super().tail(), self.head]

    def _decode(self, normalised: Float[Tensor, "B context"]) -> Float[Tensor, "B tokens W"]:
        words = self.backbone.get_input_embeddings()
        tokens = self.reprogramming(self.embedding(normalised), words.weight)
        if self.options.prompt_ids:
            prompt = words(torch.tensor(self.options.prompt_ids, device=tokens.device))
            tokens = torch.cat([prompt.expand(len(tokens), -1, -1), tokens], dim=1)
        states: Tensor = self.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state
        return states

    def _last(self, states: Float[Tensor, "B tokens W"]) -> Float[Tensor, "B H"]:
        features = states[:, -self.num_tokens :, : self.options.d_ff]
        forecast: Tensor = self.head(features.transpose(1, 2).flatten(1))
        return forecast.float()

    def _forecast_once(self, context: Float[Tensor, "B context"]) -> Float[Tensor, "B H"]:
        normalised, _, mean, scale = normalise(context)
        return self._last(self._decode(normalised)) * scale + mean

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The forecasts of the horizon; Time-LLM trains by their squared error, so `loss: mse`."""
        context = self.config.context
        return outputs_on_data_scale(self._forecast_once(window[:, :context]), window, context)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Forecasts of the next `horizon` values; NaN in the context = missing.

        A longer horizon than the model's is rolled, each forecast appended to the context.
        """
        length = self.config.context
        return Forecast(rolled(self._forecast_once, context, length=length, horizon=horizon))

    def walk(self, context: Float[Tensor, "B context"]) -> Walk:
        """A batch before its first block, to go through the blocks one at a time."""
        stack = self.stacks[0]
        normalised, _, mean, scale = normalise(fit_length(context, self.config.context))
        norm = self.backbone.get_submodule(stack.norm)
        start, steps = record_steps(self.backbone, stack, lambda: self._decode(normalised))
        return Walk(start, steps, lambda hidden: self._last(norm(hidden)) * scale + mean)


def _check_fit(options: TimeLlmOptions, config: ZooConfig) -> None:
    """Raises ParamsError unless options, windows and language model fit together."""
    data = config.backbone_config
    shape = CONFIGS[language_model(data)].from_dict(dict(data))
    if options.patch > config.context:
        raise ParamsError(
            f"timellm: options.patch must be at most windows.context ({config.context}); "
            f"got {options.patch}"
        )
    if options.stride > options.patch:
        raise ParamsError(
            f"timellm: options.stride must be at most patch ({options.patch}); got {options.stride}"
        )
    if options.d_ff > shape.hidden_size:
        raise ParamsError(
            f"timellm: options.d_ff must be at most the language model's width "
            f"({shape.hidden_size}); got {options.d_ff}"
        )
    if max(options.prompt_ids, default=0) >= shape.vocab_size:
        raise ParamsError(
            f"timellm: options.prompt_ids must be below the vocabulary's {shape.vocab_size} words; "
            f"got {max(options.prompt_ids)}; take the ids of this model's own tokenizer"
        )
    tokens = len(options.prompt_ids) + (config.context - options.patch) // options.stride + 2
    if tokens > shape.max_position_embeddings:
        raise ParamsError(
            f"timellm: the prompt and the patches are {tokens} tokens, the language model takes "
            f"{shape.max_position_embeddings}; shorten options.prompt_ids or raise options.stride"
        )
