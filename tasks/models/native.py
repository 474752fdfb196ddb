"""The families `tsfm` and `llm4ts`: patches -> linear embedding -> causal decoder -> linear head.

Channel-independent univariate windows, normalised by the mean and standard deviation of the
observed context (RevIN, Kim et al. 2022, without affine part); the decoder is transformers'
GPT-2, Llama or Qwen3. Which published design a setting is:

- `tsfm`, `head: per_token`: every token forecasts the horizon, as in TimesFM (Das et al. 2024);
- `tsfm`, `head: next_patch`: every token forecasts the patch that follows it, a longer horizon is
  rolled, as in Timer (Liu et al. 2024);
- `tsfm`, `head: flatten`: one forecast from all tokens, as in PatchTST (Nie et al. 2023);
- `llm4ts`, `head: flatten`: GPT4TS (Zhou et al. 2023): of a pretrained text model only the norms
  and GPT-2's positions are trained, beside patch embedding and head;
- `llm4ts`, `head: per_token`: the same training with TimesFM's head, published by nobody;
- `llm4ts`, `head: next_patch`: AutoTimes (Liu et al. 2024, arXiv 2402.02370): the text model is
  frozen whole. Our embedding is linear, and the text of the timestamps is left out.

Shapes: B batch, C context, H horizon, P patch, N tokens, W width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.backbones import STACKS, backbone_width, build_backbone
from tasks.models.base import ForecastModel, ModelConfig
from tasks.models.interface import Forecast, Outputs, Trace
from tasks.models.normalise import fit_length, normalise
from tasks.models.rolling import rolled
from tasks.models.stacks import BlockKind, check_keep, config_follows, first_input, first_output
from tasks.models.walk import Step, Walk, record_steps


class NativeConfig(ModelConfig):
    """config.json of a native model: everything needed to build it."""

    family: Literal["tsfm", "llm4ts"]
    backbone: Literal["gpt2", "qwen3", "llama"]
    head: Literal["per_token", "flatten", "next_patch"]
    patch: int
    stride: int

    @property
    def num_tokens(self) -> int:
        """Tokens of one context."""
        if self.head == "flatten":  # one patch more, from replication padding by one stride
            return (self.context - self.patch) // self.stride + 2
        return -(-(self.context - self.patch) // self.stride) + 1

    @property
    def reach(self) -> int:
        """Steps that one pass forecasts."""
        return self.patch if self.head == "next_patch" else self.horizon


class NativeModel(ForecastModel):
    """A forecaster on a transformers decoder."""

    CONFIG: ClassVar[type[NativeConfig]] = NativeConfig

    def __init__(self, config: NativeConfig) -> None:
        """Builds with random weights from torch's global seed."""
        super().__init__()
        self.config = config
        self.stack = STACKS[config.backbone]
        self.stacks = (self.stack,)
        self.backbone = build_backbone(config.backbone, config.backbone_config)
        width = backbone_width(self.backbone)
        self.embedding = nn.Linear(2 * config.patch, width)  # values and missing flags
        tokens = config.num_tokens if config.head == "flatten" else 1
        self.head = nn.Linear(tokens * width, config.reach)
        self._choose_trainable()

    @property
    def label(self) -> str:
        """Backbone and origin of its weights."""
        return f"{self.config.backbone}, {self.config.origin}"

    def sublayers(self) -> dict[BlockKind, Sequence[nn.Module]]:
        """By kind, the part of every block whose output is added to the residual stream."""
        return {
            part.kind: [block.get_submodule(part.name) for block in self.all_blocks()]
            for part in self.stack.parts
        }

    def _choose_trainable(self) -> None:
        is_text = self.config.family == "llm4ts"
        tunable = () if self.config.head == "next_patch" else ("ln_", "norm", "wpe")
        for name, parameter in self.backbone.named_parameters():
            unused = "wte." in name or "embed_tokens." in name
            tuned = not is_text or any(part in name for part in tunable)
            parameter.requires_grad_(tuned and not unused)

    def _unused_parameters(self) -> int:
        # the token embedding is bypassed
        return sum(p.numel() for p in self.backbone.get_input_embeddings().parameters())

    def embedding_map(self) -> nn.Module:
        """The patch embedding."""
        return self.embedding

    def output_map(self, block: int) -> nn.Module:
        """The last linear map of a block, whose output is added to the residual stream."""
        module = self.all_blocks()[block]
        outputs = [part.output for part in self.stack.parts if hasattr(module, part.name)]
        return module.get_submodule(outputs[-1])

    def tail(self) -> list[nn.Module]:
        """The final norm and the head."""
        return [*super().tail(), self.head]

    @contextmanager
    def only(self, keep: Sequence[int]) -> Iterator[None]:
        """Inside the context this model runs just the kept blocks; nothing is copied."""
        keep = check_keep(keep, self.num_blocks, "the model")
        blocks = self._modules_of(self.stack)
        with config_follows(self.backbone.config, self.stack, keep):
            try:
                self._set_modules_of(self.stack, nn.ModuleList(blocks[index] for index in keep))
                yield
            finally:
                self._set_modules_of(self.stack, blocks)

    def _tokens(self, values: Tensor) -> Tensor:
        # values: [B, C] -> [B, N, P]
        if self.config.head == "flatten":
            values = F.pad(values[:, None], (0, self.config.stride), mode="replicate")[:, 0]
        else:
            length = (self.config.num_tokens - 1) * self.config.stride + self.config.patch
            values = F.pad(values[:, None], (length - values.shape[1], 0), mode="replicate")[:, 0]
        return values.unfold(1, self.config.patch, self.config.stride)

    def _decode(self, normalised: Tensor, missing: Tensor, **options: bool) -> Any:
        flags = self._tokens(missing.to(normalised.dtype))
        tokens = torch.cat([self._tokens(normalised), flags], dim=-1)  # [B, N, 2P]
        return self.backbone(inputs_embeds=self.embedding(tokens), use_cache=False, **options)

    def _run(self, normalised: Tensor, missing: Tensor) -> Float[Tensor, "B positions steps"]:
        hidden = self._decode(normalised, missing).last_hidden_state
        if self.config.head == "flatten":
            hidden = hidden.flatten(1)[:, None]
        forecast: Tensor = self.head(hidden)  # [B, positions, steps]
        return forecast

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """Predictions and targets on windows of context + horizon values, NaN = missing.

        A patch that goes beyond the window is not observed there.
        """
        context, reach = self.config.context, self.config.reach
        normalised, missing, mean, scale = normalise(window[:, :context])
        prediction = self._run(normalised, missing).float()
        ends = [context]
        if self.config.head != "flatten":
            steps = range(self.config.num_tokens - 1, -1, -1)
            ends = [context - step * self.config.stride for step in steps]
        window = F.pad(window, (0, max(0, context + reach - window.shape[1])), value=float("nan"))
        known = torch.isfinite(window)
        targets = torch.where(known, (window - mean) / scale, 0.0)
        target, observed = (every.unfold(1, reach, 1)[:, ends] for every in (targets, known))
        return Outputs(prediction, target, observed, scale[..., None])  # [B, positions, steps]

    def _last(self, hidden: Float[Tensor, "B N W"]) -> Float[Tensor, "B steps"]:
        flatten = self.config.head == "flatten"
        forecast: Tensor = self.head(hidden.flatten(1) if flatten else hidden[:, -1])
        return forecast.float()

    def _forecast_once(self, context: Tensor) -> Tensor:
        normalised, missing, mean, scale = normalise(context)
        return self._last(self._decode(normalised, missing).last_hidden_state) * scale + mean

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Forecasts of the next `horizon` values; NaN in the context = missing.

        A longer context is cut to the model's from the left, a shorter one padded as missing; a
        horizon beyond what one pass forecasts is rolled, each forecast appended to the context.
        """
        length = self.config.context
        return Forecast(rolled(self._forecast_once, context, length=length, horizon=horizon))

    def enter(self, context: Float[Tensor, "B C"]) -> tuple[Float[Tensor, "B N W"], list[Step]]:
        """The states of a batch before its first block, and by block how the model calls it."""
        normalised, missing, _, _ = normalise(context)
        return record_steps(self.backbone, self.stack, lambda: self._decode(normalised, missing))

    def walk(self, context: Float[Tensor, "B context"]) -> Walk:
        """A batch before its first block, to go through the blocks one at a time.

        Its forecast has the steps of one pass. A step through each block of a mask and `finish`
        equal `forecast` inside `only(mask)` bit for bit.
        """
        context = fit_length(context, self.config.context)
        _, _, mean, scale = normalise(context)
        norm = self.backbone.get_submodule(self.stack.norm)
        start, steps = self.enter(context)
        return Walk(start, steps, lambda hidden: self._last(norm(hidden)) * scale + mean)

    def trace(self, context: Float[Tensor, "B context"]) -> list[Trace]:
        """The states before and after every block, and every block's attention.

        Attention is computed openly here (`eager`), which changes the states by rounding only.
        """
        hidden: list[Tensor] = []

        def enter(_block: nn.Module, args: Any, kwargs: Any) -> None:
            hidden.append(first_input(args, kwargs))

        def leave(_block: nn.Module, _args: Any, output: Any) -> None:
            hidden.append(first_output(output))

        blocks, config = self.all_blocks(), self.backbone.config
        hooks = [block.register_forward_hook(leave) for block in blocks]
        hooks += [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks[:1]]
        implementation = config._attn_implementation
        try:
            config._attn_implementation = "eager"
            normalised, missing, _, _ = normalise(context)
            attention = self._decode(normalised, missing, output_attentions=True).attentions
        finally:
            config._attn_implementation = implementation
            for hook in hooks:
                hook.remove()
        is_exposed = len(attention or ()) == len(blocks) > 0
        return [Trace(torch.stack(hidden), torch.stack(attention) if is_exposed else None)]

    def library_config(self) -> dict[str, Any]:
        """The backbone's config as transformers stores it."""
        fields = (self.stack.depth, *self.stack.per_layer)
        stored = {k: v for k, v in self.config.backbone_config.items() if k in fields}
        name = type(self.backbone).__name__
        data: dict[str, Any] = self.backbone.config.to_dict()
        return data | stored | {"architectures": [name]}
