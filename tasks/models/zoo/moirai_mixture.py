"""The head of Moirai 1: projections for several patch sizes, and the mixture that they describe.

Written after uni2ts 2.0: Student's t, a narrow normal, a negative binomial that takes any value
from 0 on, and a log-normal distribution, of values scaled by their context.

Shapes: B series, T tokens, P patch, W width, H horizon, K components.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Gamma,
    LogNormal,
    Normal,
    StudentT,
    constraints,
)

from tasks.errors import ParamsError

LEVELS = tuple(tenths / 10 for tenths in range(1, 10))
LIMIT = 1e6  # standard deviations of the context; no forecast lies beyond
NO_SHAPE = torch.Size()
SEED = 0  # of the samples: the same context always has the same quantiles


class SizedInput(nn.Module):
    """A linear map from a patch to a state for each of several patch sizes."""

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.weight = nn.Parameter(torch.zeros(len(sizes), width, max(sizes)))
        self.bias = nn.Parameter(torch.zeros(len(sizes), width))
        for place, size in enumerate(sizes):
            nn.init.kaiming_uniform_(self.weight[place, :, :size], a=sqrt(5))
            nn.init.uniform_(self.bias[place], -1 / sqrt(size), 1 / sqrt(size))

    def forward(self, patches: Float[Tensor, "B T P"]) -> Float[Tensor, "B T W"]:
        """States of patches of one of the sizes."""
        size = patches.shape[-1]
        place = self.sizes.index(size)
        return F.linear(patches, self.weight[place, :, :size], self.bias[place])

    def used(self, patch: int) -> int:
        """How many parameters forecasts with this patch size need."""
        return self.weight.shape[1] * (patch + 1)


class SizedOutput(nn.Module):
    """A linear map from a state to `dim` numbers per value of a patch, for several patch sizes.

    The rows lie by number and then by place in the largest patch, but the library leaves the first
    `dim` x size rows of weights to a smaller patch, and every bias: what the checkpoints hold.
    """

    def __init__(self, width: int, sizes: Sequence[int], dim: int = 1) -> None:
        super().__init__()
        self.sizes, self.dim = list(sizes), dim
        self.weight = nn.Parameter(torch.zeros(len(sizes), dim * max(sizes), width))
        self.bias = nn.Parameter(torch.zeros(len(sizes), dim * max(sizes)))
        for place, size in enumerate(sizes):
            nn.init.kaiming_uniform_(self.weight[place, : dim * size], a=sqrt(5))
            nn.init.uniform_(self.bias[place, : dim * size], -1 / sqrt(width), 1 / sqrt(width))

    def forward(self, hidden: Float[Tensor, "B T W"], patch: int) -> Float[Tensor, "B T*P dim"]:
        """The numbers for every value of the patches."""
        place, rows = self.sizes.index(patch), self.dim * patch
        found = F.linear(hidden, self.weight[place, :rows])
        found = F.pad(found, (0, self.bias.shape[1] - rows)) + self.bias[place]
        by_number = found.reshape(*found.shape[:2], self.dim, -1)[..., :patch]
        return by_number.transpose(-1, -2).flatten(1, 2)

    def used(self, patch: int) -> int:
        """How many parameters forecasts with this patch size need."""
        return self.dim * patch * (self.weight.shape[2] + 1)


class NegativeBinomial(Distribution):
    """A negative binomial whose density goes on between the whole numbers."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.nonnegative

    def __init__(self, total_count: Tensor, logits: Tensor) -> None:
        self.total_count, self.logits = total_count, logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Successes times the odds."""
        return self.total_count * self.logits.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density, not only of whole numbers."""
        count = self.total_count
        tries = count * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        beta = torch.lgamma(1 + value) + torch.lgamma(count) - torch.lgamma(1 + value + count)
        return tries - beta - torch.log(count + value)

    def sample(self, sample_shape: Any = NO_SHAPE) -> Tensor:
        """Counts, from a rate that is Gamma distributed."""
        rate = (-self.logits).exp().clamp(min=1 / LIMIT)
        rates = Gamma(self.total_count, rate, validate_args=False).sample(sample_shape)
        return torch.poisson(rates)


def _positive(raw: Tensor) -> Tensor:
    return F.softplus(raw).clamp_min(torch.finfo(raw.dtype).eps)


Raw = Mapping[str, Tensor]


def _student_t(raw: Raw, _spec: Mapping[str, Any]) -> Distribution:
    degrees = 2.0 + F.softplus(raw["df"])
    return StudentT(degrees, raw["loc"], _positive(raw["scale"]), validate_args=False)


def _narrow_normal(raw: Raw, spec: Mapping[str, Any]) -> Distribution:
    return Normal(raw["loc"], float(spec.get("scale", 1e-3)), validate_args=False)


def _normal(raw: Raw, _spec: Mapping[str, Any]) -> Distribution:
    return Normal(raw["loc"], _positive(raw["scale"]), validate_args=False)


def _negative_binomial(raw: Raw, _spec: Mapping[str, Any]) -> Distribution:
    return NegativeBinomial(F.softplus(raw["total_count"]), raw["logits"])


def _log_normal(raw: Raw, _spec: Mapping[str, Any]) -> Distribution:
    return LogNormal(raw["loc"], _positive(raw["scale"]), validate_args=False)


Maker = Callable[[Raw, Mapping[str, Any]], Distribution]
KINDS: dict[str, tuple[tuple[str, ...], Maker]] = {
    "StudentTOutput": (("df", "loc", "scale"), _student_t),
    "NormalFixedScaleOutput": (("loc",), _narrow_normal),
    "NormalOutput": (("loc", "scale"), _normal),
    "NegativeBinomialOutput": (("total_count", "logits"), _negative_binomial),
    "LogNormalOutput": (("loc", "scale"), _log_normal),
}


def component_specs(distr_output: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Kind and settings of every component. Raises ParamsError where the head is another one."""
    components = distr_output.get("components", [])
    kinds = [str(one.get("_target_")).rpartition(".")[2] for one in components]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if not kinds or unknown:
        raise ParamsError(
            f"moirai: distr_output must be a mixture of {', '.join(KINDS)}; "
            f"got {unknown[0] if unknown else distr_output.get('_target_')}"
        )
    return [(kind, dict(one)) for kind, one in zip(kinds, components, strict=True)]


@dataclass(frozen=True)
class Mixture:
    """The forecast distribution of every value, on the scale of the data."""

    logits: Float[Tensor, "B H K"]
    components: Sequence[Distribution]
    loc: Float[Tensor, "B 1"]
    scale: Float[Tensor, "B 1"]

    @property
    def mean(self) -> Float[Tensor, "B H"]:
        """The mean; that of a component counts as LIMIT where it is more, or infinite."""
        means = torch.stack([_limited_mean(one) for one in self.components], dim=-1)
        weighted = (self.logits.softmax(-1) * means).sum(-1)
        return weighted * self.scale + self.loc

    def log_prob(self, value: Float[Tensor, "B H"]) -> Float[Tensor, "B H"]:
        """Log density of values on the scale of the data."""
        scaled = (value - self.loc) / self.scale
        found = []
        for component in self.components:
            inside = component.support.check(scaled)  # type: ignore[union-attr]
            # elsewhere the density of 1 is taken, lest the gradient become NaN
            density = component.log_prob(torch.where(inside, scaled, 1.0))
            found.append(torch.where(inside, density, float("-inf")))
        weights = self.logits.log_softmax(-1)
        return (torch.stack(found, dim=-1) + weights).logsumexp(-1) - self.scale.log()

    @torch.no_grad()
    def sample(self, count: int) -> Float[Tensor, "count B H"]:
        """Independent draws, none further than LIMIT scales away."""
        shape = torch.Size([count])
        drawn = torch.stack([one.sample(shape) for one in self.components], dim=-1)
        chosen = Categorical(logits=self.logits, validate_args=False).sample(shape)
        values = drawn.gather(-1, chosen[..., None])[..., 0]
        return values.clamp(-LIMIT, LIMIT) * self.scale + self.loc


def _limited_mean(component: Distribution) -> Tensor:
    # exponents are cut before they overflow, so that gradients stay finite
    if isinstance(component, LogNormal):
        return (component.loc + component.scale.square() / 2).clamp(max=log(LIMIT)).exp()
    if isinstance(component, NegativeBinomial):
        return component.total_count * component.logits.clamp(max=log(LIMIT)).exp()
    return component.mean


@dataclass(frozen=True, eq=False)
class SampledQuantiles(Mapping[float, Tensor]):
    """Quantiles by level, of samples that are drawn when one is first asked for.

    Scores and searches ask for means alone, and drawing costs as much as a small model's pass.
    """

    mixture: Mixture
    count: int
    found: dict[float, Tensor] = field(default_factory=dict)

    def __getitem__(self, level: float) -> Float[Tensor, "B H"]:
        """The quantile of one level."""
        if not self.found:
            self._draw()
        return self.found[level]

    def __iter__(self) -> Iterator[float]:
        return iter(LEVELS)

    def __len__(self) -> int:
        return len(LEVELS)

    def _draw(self) -> None:
        device = self.mixture.loc.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(SEED)
            ordered = self.mixture.sample(self.count).sort(dim=0).values
        for level in LEVELS:  # linear between draws; torch.quantile takes 2 ** 24 values at most
            low = int(level * (self.count - 1))
            part = level * (self.count - 1) - low
            self.found[level] = ordered[low].lerp(ordered[min(low + 1, self.count - 1)], part)


class MixtureHead(nn.Module):
    """From states to a mixture: `param_proj` of a checkpoint."""

    def __init__(self, width: int, sizes: Sequence[int], distr_output: Mapping[str, Any]) -> None:
        super().__init__()
        self.specs = component_specs(distr_output)
        components = [
            nn.ModuleDict({name: SizedOutput(width, sizes) for name in KINDS[kind][0]})
            for kind, _ in self.specs
        ]
        self.proj = nn.ModuleDict(
            {
                "weights_logits": SizedOutput(width, sizes, len(components)),
                "components": nn.ModuleList(components),
            }
        )

    def forward(
        self,
        hidden: Float[Tensor, "B T W"],
        patch: int,
        horizon: int,
        loc: Float[Tensor, "B 1"],
        scale: Float[Tensor, "B 1"],
    ) -> Mixture:
        """The distribution of the first `horizon` of the T * P values that the tokens stand for."""
        logits = self.proj["weights_logits"](hidden, patch)[:, :horizon]
        maps_of, components = self.proj["components"], []
        assert isinstance(maps_of, nn.ModuleList)
        for (kind, spec), maps in zip(self.specs, maps_of, strict=True):
            raw = {
                name: maps.get_submodule(name)(hidden, patch)[:, :horizon, 0]
                for name in KINDS[kind][0]
            }
            components.append(KINDS[kind][1](raw, spec))
        return Mixture(logits, components, loc, scale)
