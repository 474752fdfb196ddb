"""Healing options: the name in params.yaml taken apart into what a student does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.errors import ParamsError
from tasks.sections.healing import Healing, split_option


@dataclass(frozen=True, kw_only=True)
class HealingOption:
    """How one pruned model is healed.

    Attributes:
        name: as in `healing.options`.
        rate: learning rate, times the model's own.
        distillation: share of the loss that asks for the teacher's forecast.
        hidden: weight of the distance to the teacher's hidden states.
        matched: the teacher's state a kept block is to reach: the one after the same block
            (`own`), or the one after the cut that follows it (`cut`), which the next kept block
            used to get.
        trained: which parameters change.
        rounds: prune-heal rounds; 1 prunes at once.
        replay: share of each batch that comes from the mix the model was pretrained on.
        seam_repair: whether every cut is repaired in closed form before the first step.
    """

    name: str
    rate: float = 1.0
    distillation: float = 0.0
    hidden: float = 0.0
    matched: Literal["own", "cut"] = "own"
    trained: Literal["all", "kept_blocks", "head_and_last"] = "all"
    rounds: int = 1
    replay: float = 0.0
    seam_repair: bool = False


def healing_option(name: str, healing: Healing) -> HealingOption:
    """The option of a name that `healing.options` may hold: "iterative+distilled=0.9@8"."""
    named = split_option(name)
    parts, share = named.kinds, healing.distillation if named.share is None else named.share
    has_states = any(part in parts for part in ("hidden", "hidden_cut"))
    trained: Literal["all", "kept_blocks", "head_and_last"] = "all"
    if "kept_only" in parts:
        trained = "kept_blocks"
    elif "head_last" in parts:
        trained = "head_and_last"
    return HealingOption(
        name=name,
        rate=named.rate,
        distillation=share if has_states or "distilled" in parts else 0.0,
        hidden=healing.hidden if has_states else 0.0,
        matched="cut" if "hidden_cut" in parts else "own",
        trained=trained,
        rounds=healing.rounds if "iterative" in parts else 1,
        replay=healing.replay if "replay" in parts else 0.0,
        seam_repair=healing.seam_repair,
    )


def usable_options(
    names: Sequence[str], healing: Healing, *, has_replay: bool, where: str
) -> list[HealingOption]:
    """The options of these names, those with replay left out where there is nothing to replay.

    Args:
        names: the list of params.yaml.
        healing: its section.
        has_replay: whether the model was pretrained on a mix.
        where: the list's name, for the error.

    Raises:
        ParamsError: none is left.
    """
    found = [healing_option(name, healing) for name in names]
    usable = [option for option in found if has_replay or not option.replay]
    if not usable:
        raise ParamsError(
            f"{where} names only ways with replay ({', '.join(names)}), which need a model that "
            "was pretrained on a mix; add one without"
        )
    return usable
