"""Chronos-T5 (Ansari et al. 2024, arXiv 2403.07815; chronos-forecasting 2.3): T5 on tokens.

Every value of the context, divided by the mean of their absolute values, is a token of its own; the
decoder gives the probabilities of the next value's token.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from chronos.chronos import ChronosConfig, ChronosModel
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.family import ZooModel, outputs_on_data_scale
from tasks.models.zoo.sampling import forecast_of, same_draws
from tasks.models.zoo.t5 import DECODER, ENCODER, complete_t5, count_t5_blocks

PATHS_AT_ONCE = 256  # each keeps its cache of every block: 45 MB at T5 base with 512 tokens


def cache_depth(data: Mapping[str, Any]) -> dict[str, Any]:
    """A T5 config that says in `decoder_layers` how many blocks the cache of generation is for.

    Without it transformers 5 takes the encoder's depth, and generation fails where the decoder is
    the deeper one, as it may be after pruning.
    """
    return {**data, "decoder_layers": data["num_decoder_layers"]}


class ChronosT5(ZooModel):
    """Chronos-T5 of any size.

    Where no gradients are wanted, a forecast is the library's: paths sampled token by token. A
    sampled token has no gradient, so with gradients the mean is `expected_path`. States are traced
    along that path too, one token per step, where sampling would show single tokens.
    """

    DRAWS_BY_PLACE = True
    TRACED = "last"  # the one in which the decoder reads the whole path
    stacks: tuple[Stack, ...] = (ENCODER, replace(DECODER, also=("decoder_layers",)))

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        return cache_depth(complete_t5(data) | {"architectures": ["T5ForConditionalGeneration"]})

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, from its own config as data."""
        try:
            library = ChronosConfig(**data.get("chronos_config", {}))
        except TypeError as error:
            reason = str(error).removeprefix("ChronosConfig.__init__() ")
            raise ParamsError(
                f"chronos_t5 needs a whole `chronos_config` in its config or shape: {reason}"
            ) from error
        if library.model_type != "seq2seq":
            raise ParamsError(
                f"chronos_t5 is an encoder with a decoder; chronos_config.model_type must be "
                f"'seq2seq', got {library.model_type!r}"
            )
        model: nn.Module = T5ForConditionalGeneration(T5Config.from_dict(cache_depth(data)))
        return model

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Encoder and decoder blocks."""
        return count_t5_blocks(data)

    def tail(self) -> list[nn.Module]:
        """The decoder's final norm and the head, whose weights also embed the tokens."""
        return [*super().tail(), self.backbone.lm_head]

    @cached_property
    def _library(self) -> ChronosConfig:
        return ChronosConfig(**self.config.backbone_config["chronos_config"])

    @cached_property
    def _tokenizer(self) -> Any:
        return self._library.create_tokenizer()  # it works on the CPU alone

    def _tokens(
        self, context: Float[Tensor, "B context"]
    ) -> tuple[Int64[Tensor, "B tokens"], Bool[Tensor, "B tokens"], Float[Tensor, " B"]]:
        """The tokens, which of them were observed, and the scale."""
        found = self._tokenizer.context_input_transform(context.cpu())
        tokens, observed, scale = (part.to(context.device) for part in found)
        return tokens, observed, scale

    def _labels(
        self, target: Float[Tensor, "B own"], scale: Float[Tensor, " B"]
    ) -> Int64[Tensor, "B labels"]:
        """The target's tokens, -100 where missing; an end token after a whole horizon alone."""
        own, whole = target.shape[1], self._library.prediction_length
        padded = nn.functional.pad(target, (0, whole - own), value=float("nan"))
        tokens, observed = self._tokenizer.label_input_transform(padded.cpu(), scale.cpu())
        labels: Tensor = tokens.masked_fill(~observed, -100)
        return (labels if own == whole else labels[:, :own].contiguous()).to(target.device)

    def _expected(
        self, logits: Float[Tensor, "B steps tokens"], scale: Float[Tensor, " B"]
    ) -> Float[Tensor, "B steps"]:
        """The mean of the next value, of the tokens that stand for values."""
        centers = self._tokenizer.centers.to(logits.device)
        first = self._library.n_special_tokens + 1
        shares = logits[..., first : first + len(centers)].float().softmax(-1)
        # no matrix product, which mixed precision would round to three digits
        values: Tensor = (shares * centers).sum(-1) * scale[:, None]
        return values

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """Expected values, each given the true ones before it; the loss is the cross-entropy.

        Steps beyond the library's own horizon take no part.
        """
        context = self.config.context
        own = min(self.config.horizon, self._library.prediction_length)
        tokens, observed, scale = self._tokens(window[:, :context])
        labels = self._labels(window[:, context : context + own], scale)
        found = self.backbone(
            input_ids=tokens, attention_mask=observed, labels=labels, use_cache=False
        )
        # the mean over no token at all would be NaN
        loss = found.loss if bool((labels >= 0).any()) else 0 * found.logits.sum()
        prediction = self._expected(found.logits[:, :own], scale)
        return outputs_on_data_scale(prediction, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Mean and quantiles of sampled paths; with gradients the mean of `expected_path` alone.

        Beyond its own horizon the context grows by the median, as in its pipeline, or the mean.
        """
        if torch.is_grad_enabled():
            return Forecast(self._rolled(self.expected_path, context, horizon)[:, 0])
        with same_draws(context.device):
            return forecast_of(self._rolled(self._paths, context, horizon))

    def _rolled(
        self, step: Callable[[Tensor, int], Tensor], context: Tensor, horizon: int
    ) -> Float[Tensor, "B paths horizon"]:
        own, parts = self._library.prediction_length, []
        for done in range(0, horizon, own):
            parts.append(step(context, min(own, horizon - done)))
            context = torch.cat([context, parts[-1].detach().median(1).values], dim=1)
        return torch.cat(parts, dim=-1)

    def _paths(
        self, context: Float[Tensor, "B context"], steps: int
    ) -> Float[Tensor, "B samples steps"]:
        tokens, observed, scale = self._tokens(context)
        sampler = ChronosModel(self._library, self.backbone)
        rows = max(1, PATHS_AT_ONCE // self._library.num_samples)
        drawn = [
            sampler(*part, steps)
            for part in zip(tokens.split(rows), observed.split(rows), strict=True)
        ]
        paths: Tensor = self._tokenizer.output_transform(torch.cat(drawn).cpu(), scale.cpu())
        return paths.to(context.device)

    def expected_path(
        self, context: Float[Tensor, "B context"], steps: int
    ) -> Float[Tensor, "B 1 steps"]:
        """Expected values, each given the expected ones before it; has gradients.

        The path is rolled out first. Then the decoder reads it whole, in one pass, as in training.
        """
        tokens, observed, scale = self._tokens(context)
        encoded = self.backbone.encoder(input_ids=tokens, attention_mask=observed)
        path = self._rolled_out(encoded.last_hidden_state.detach(), observed, scale, steps)
        found = self.backbone(
            encoder_outputs=encoded,
            attention_mask=observed,
            decoder_input_ids=path,
            use_cache=False,
        )
        return self._expected(found.logits, scale)[:, None]

    @torch.no_grad()
    def _rolled_out(
        self,
        encoded: Float[Tensor, "B tokens width"],
        observed: Bool[Tensor, "B tokens"],
        scale: Float[Tensor, " B"],
        steps: int,
    ) -> Int64[Tensor, "B steps"]:
        """The decoder's input: the start token, then the tokens of the expected values."""
        boundaries = self._tokenizer.boundaries.to(encoded.device)
        start = self.backbone.config.decoder_start_token_id
        path = torch.full((len(encoded), 1), start, device=encoded.device)
        cache = None
        while path.shape[1] < steps:
            found = self.backbone(
                encoder_outputs=BaseModelOutput(encoded),
                attention_mask=observed,
                decoder_input_ids=path[:, -1:],
                past_key_values=cache,
                use_cache=True,
            )
            cache = found.past_key_values
            values = self._expected(found.logits, scale) / scale[:, None]
            token = torch.bucketize(values, boundaries, right=True) + self._library.n_special_tokens
            path = torch.cat([path, token.clamp(max=self._library.n_tokens - 1)], dim=1)
        return path

    def run_once(self, context: Float[Tensor, "B context"]) -> None:
        """One pass of the encoder over the context, and of the decoder over the expected path."""
        self.expected_path(context, min(self.config.horizon, self._library.prediction_length))
