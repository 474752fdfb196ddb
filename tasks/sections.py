"""The sections of params.yaml as frozen models, one docstring and one range per value."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.sections_search import SamplerName, ScoreName, Storage

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=100_000_000)]
Steps = Annotated[int, Field(ge=0, le=100_000_000)]
Depth = Annotated[int, Field(ge=1, le=1024)]
Length = Annotated[int, Field(ge=1, le=65_536)]


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no silent type changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Runtime(Section):
    """Where and how stages run; changing it reruns nothing."""

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    parallel_stages: Annotated[int, Field(ge=1, le=256)] = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    search_workers: Annotated[int, Field(ge=1, le=256)] = 1  # processes of one search
    search_storage: Storage = "journal"  # journal | env | a database's URL
    state_megabytes: Count = 256  # of states kept while many masks are measured together

    @property
    def state_bytes(self) -> int:
        """`state_megabytes` in bytes."""
        return self.state_megabytes * 2**20


class Run(Section):
    """What the graph covers: the matrix is datasets x models."""

    datasets: list[Name] = Field(min_length=1)
    models: dict[Name, Name] = Field(min_length=1)  # model: its pretrained start, or `none`
    corpora: list[Name] = []  # collections, prepared only to be members of a mix
    mixes: list[Name] = []
    pretrain: dict[Name, Name] = {}  # model -> the mix it is pretrained on


class Windows(Section):
    """One context and horizon for every dataset and model, in rows."""

    context: Length
    horizon: Length


class Generator(Section):
    """The synthetic demo dataset (stage `generate`)."""

    channels: Annotated[int, Field(ge=1, le=1000)] = 8
    rows: Annotated[int, Field(ge=100, le=10_000_000)] = 8000
    seed: Annotated[int, Field(ge=0)] = 0


class Split(Section):
    """Chronological split: row counts, or shares of all rows (train, validation, rest test)."""

    train: Annotated[float, Field(gt=0)] | Count = 0.7
    validation: Annotated[float, Field(gt=0)] | Count = 0.1
    test: Annotated[float, Field(gt=0)] | Count = 0.2

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        parts = (self.train, self.validation, self.test)
        if all(isinstance(part, int) for part in parts):
            return self
        if any(part > 1 for part in parts) or abs(sum(parts) - 1) > 1e-6:
            raise ValueError(
                f"split must be three row counts or three shares that sum to 1; got {parts}"
            )
        return self

    @property
    def is_rows(self) -> bool:
        """True when the three values are row counts."""
        return all(isinstance(part, int) for part in (self.train, self.validation, self.test))


class Dataset(Section):
    """One dataset: how to read the files in data/raw/NAME/ and how to split them.

    A `joined` one is several datasets as one, for training across them: data/raw/NAME/MEMBER/
    holds the files of each, and each is read, split and scaled by itself.
    """

    kind: Literal["wide", "long", "collection", "joined"] = "wide"
    members: dict[Name, "Dataset"] = {}  # of a joined one: how to read each
    url: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    freq: str | None = None
    time_column: str | None = None
    time_format: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_zone: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    targets: list[str] | None = None
    season: Annotated[int, Field(ge=1, le=100_000)] | None = None
    split: Split = Split()
    irregular: Literal["regular_grid", "as_rows"] = "regular_grid"

    @model_validator(mode="after")
    def _members_are_said(self) -> Self:
        if self.kind != "joined":
            if self.members:
                raise ValueError("only a dataset of kind joined has members")
            return self
        if len(self.members) < 2:
            raise ValueError("a joined dataset needs two members or more")
        for name, member in self.members.items():
            if member.kind not in {"wide", "long"}:
                raise ValueError(f"member {name!r} must be wide or long; got {member.kind}")
        own = self.model_fields_set - {"kind", "members", "season"}
        if own:
            raise ValueError(f"a joined dataset has no {sorted(own)[0]!r}; its members have")
        return self


class Mix(Section):
    """Several datasets joined for cross-dataset training; only training ranges are joined."""

    members: list[Name] = Field(min_length=1)
    weights: Literal["windows", "capped"] = "windows"
    cap: Count = 5000  # of `capped`: a series counts min(length, cap)


class Scale(Section):
    """One size of the backbone, with the learning rate that suits it."""

    backbone: Literal["gpt2", "qwen3"]
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


class PretrainedStart(Section):
    """The weights of another model entry, pretrained on a mix (`run.pretrain`)."""

    kind: Literal["pretrained"]
    model: Name


class FolderStart(Section):
    """A transformers checkpoint in a local folder (config.json + safetensors)."""

    kind: Literal["folder"]
    path: str


class HubStart(Section):
    """A transformers checkpoint on the Hugging Face hub, at one pinned revision."""

    kind: Literal["hub"]
    id: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
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
    sweep_rates: list[Positive] = []  # learning rates tried first; the best by validation is taken
    sweep_steps: Count = 100  # of each of them
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: NonNegative = 0.01
    betas: tuple[float, float] = Field(default=(0.9, 0.95), strict=False)
    clip_norm: Positive = 1.0
    eval_every: Count = 50
    patience: Count = 8  # evaluations without a better one
    valid_windows: Count = 1024
    checkpoint_every: Count = 100
    loss: Literal["mse", "huber"] = "mse"
    loss_space: Literal["scaled", "normalised"] = "scaled"
    target_clip: Positive | None = None  # |normalised target| is cut here
    last_weight: Positive = 1.0  # of the last position in the loss (per-token head)
    train_share: Share = 1.0  # of the training rows, the last ones
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    activation_checkpointing: bool = False


class ModelEntry(Section):
    """One model: a family at a scale, where its weights start, and its training overrides."""

    family: Literal["tsfm", "llm4ts"]
    scale: Name
    backbone: Literal["gpt2", "qwen3"] | None = None  # None: the scale's
    head: Literal["per_token", "flatten"] = "per_token"
    patch: Length = 32
    stride: Length | None = None  # None: patch
    start: Start | None = None
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _start_is_said(self) -> Self:
        if self.family == "llm4ts" and self.start is None:
            raise ValueError(
                "an llm4ts model needs `start`: {kind: folder, path: DIR}, {kind: hub, id: ID, "
                "revision: COMMIT}, or, for a random backbone on purpose, {kind: random}"
            )
        unknown = set(self.training) - set(Training.model_fields)
        if unknown:
            raise ValueError(f"training has no setting named {sorted(unknown)[0]!r}")
        Training.model_validate(self.training)
        return self


class Search(Section):
    """The Optuna search over which blocks to keep."""

    # wanted sizes as shares of all blocks; 1 would keep every block
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.17, 0.25, 0.34], min_length=1
    )
    trials: Count = 200
    exhaustive_limit: Steps = 500  # all masks are tried when they are at most this many
    sampler: SamplerName = "surrogate"
    batch: Annotated[int, Field(ge=1, le=256)] = 4  # trials sampled from the same history
    valid_windows: Count = 512
    racing: bool = True  # clearly worse masks are stopped before they have seen all windows
    racing_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05  # chance to lose a best mask so
    cost: Literal["share", "latency"] = "share"
    heal_top: Count = 3  # masks of each size that are healed briefly and re-ranked
    # scores whose own masks are healed too, as far as scoring.scores has them; none: []
    heal_scores: list[ScoreName] = ["few_layer", "block_influence", "removal_loss"]
    # steps of each short healing; from rung to rung fewer masks are left, see searchers/rungs.py
    rungs: list[Steps] = Field(default=[100], min_length=1)
    margin: NonNegative = 0.02

    @model_validator(mode="after")
    def _rungs_rise(self) -> Self:
        if any(low >= high for low, high in pairwise(self.rungs)):
            raise ValueError(f"search.rungs must rise, for example [60, 150]; got {self.rungs}")
        return self


class Controls(Section):
    """The null panel: what the pruned model must beat."""

    random_masks: Annotated[int, Field(ge=1, le=1000)] = 5


class Evaluation(Section):
    """The verdict on the test range."""

    stride: Count = 1  # rows between test windows
    margin: NonNegative = 0.02  # of the full model's error
    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    batch_size: Count = 64
    sample_forecasts: Annotated[int, Field(ge=0, le=50)] = 4


class Measure(Section):
    """Latency and memory of the full and the pruned model."""

    batch_sizes: list[Count] = Field(default=[1, 8, 64], min_length=1)
    repeats: Annotated[int, Field(ge=3, le=10_000)] = 20
    warmup: Steps = 3
