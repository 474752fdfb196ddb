"""The stages of dvc.yaml, expanded for one params.yaml as DVC expands them.

Of DVC's templates only what our dvc.yaml uses is understood: a stage, a `matrix` of lists or
mappings of params.yaml, a `foreach` over a mapping; `${item.NAME}`, `${key}` and `${item}`.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML

from tasks.errors import ParamsError

KNOWN = frozenset({"cmd", "deps", "params", "outs", "metrics", "meta"})
REFERENCE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: its name as DVC gives it, and what it reads, writes and runs.

    `is_alone`: nothing may run beside it (`meta: {alone: true}` in dvc.yaml), as it measures times.
    """

    name: str
    command: str
    deps: tuple[str, ...]
    params: tuple[str, ...]  # dotted keys of params.yaml
    outs: tuple[str, ...]
    is_alone: bool = False


@dataclass(frozen=True)
class Graph:
    """All stages, each after those it needs, and the stages that each one needs.

    Of the stages that could be next, the one with the longest chain before it comes first.
    """

    stages: tuple[Stage, ...]
    parents: Mapping[str, tuple[str, ...]]  # stage: those that make what it reads

    def towards(self, goals: Collection[str]) -> "Graph":
        """Only the stages that some kinds need, see `needed_for`. Raises ParamsError."""
        in_order = {stage.name: self.parents[stage.name] for stage in self.stages}
        needed = needed_for(in_order, goals)
        return Graph(
            tuple(stage for stage in self.stages if stage.name in needed),
            {name: parents for name, parents in in_order.items() if name in needed},
        )


def needed_for(parents: Mapping[str, Collection[str]], goals: Collection[str]) -> set[str]:
    """The names of the stages of some kinds and of all that they depend on.

    Args:
        parents: the stages of dvc.yaml, each after those that it needs, with the names of these.
        goals: kinds of stages: "evaluate" stands for evaluate@DATASET-MODEL of every pair.

    Raises:
        ParamsError: there is no stage of one of the kinds.
    """
    kinds = {name: name.partition("@")[0] for name in parents}
    if unknown := sorted(set(goals) - set(kinds.values())):
        known = ", ".join(dict.fromkeys(kinds.values()))
        raise ParamsError(f"goals: there is no stage {unknown[0]!r} in dvc.yaml; stages: {known}")
    names: set[str] = set()
    for name in reversed(list(parents)):
        if name in names or kinds[name] in goals:
            names |= {name, *parents[name]}
    return names


def read_graph(path: Path, params: Mapping[str, Any]) -> Graph:
    """The graph in a dvc.yaml for the content of a params.yaml.

    Raises:
        ParamsError: a template that is not understood, a stage made twice, or a cycle.
    """
    content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    stages = [
        stage
        for name, group in content["stages"].items()
        for stage in _expanded(name, group, params, str(path))
    ]
    return _ordered(stages, str(path))


def value_of(params: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none, as an absent section is its default."""
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _expanded(
    name: str, group: Mapping[str, Any], params: Mapping[str, Any], where: str
) -> Iterator[Stage]:
    if "matrix" in group:
        body = {key: value for key, value in group.items() if key != "matrix"}
        axes = {
            axis: list(_resolved(values, params, f"{where}: {name}"))
            for axis, values in group["matrix"].items()
        }
        for chosen in itertools.product(*axes.values()):
            names = {f"item.{axis}": value for axis, value in zip(axes, chosen, strict=True)}
            yield _stage(f"{name}@{'-'.join(chosen)}", body, names, where)
    elif "foreach" in group:
        items = _resolved(group["foreach"], params, f"{where}: {name}")
        if not isinstance(items, Mapping):
            raise ParamsError(f"{where}: {name}: foreach must name a mapping of params.yaml")
        for key, item in items.items():
            yield _stage(f"{name}@{key}", group["do"], {"key": key, "item": item}, where)
    else:
        yield _stage(name, group, {}, where)


def _resolved(value: Any, params: Mapping[str, Any], where: str) -> Any:
    """The list or mapping that `${section.key}` stands for; one that is written out stays."""
    if not isinstance(value, str):
        return value
    found = REFERENCE.fullmatch(value)
    resolved = value_of(params, found[1]) if found else None
    if resolved is None:
        raise ParamsError(f"{where}: {value} must name a list or mapping of params.yaml")
    return resolved


def _stage(name: str, body: Mapping[str, Any], names: Mapping[str, str], where: str) -> Stage:
    unknown = set(body) - KNOWN
    if unknown:
        raise ParamsError(f"{where}: {name}: {sorted(unknown)[0]!r} is not understood without DVC")

    def fill(text: Any) -> str:
        if not isinstance(text, str):
            raise ParamsError(f"{where}: {name}: {text!r} is not understood without DVC")

        def replaced(found: re.Match[str]) -> str:
            if found[1] not in names:
                raise ParamsError(f"{where}: {name}: {found[0]} is not understood without DVC")
            return names[found[1]]

        return REFERENCE.sub(replaced, text)

    def filled(key: str) -> tuple[str, ...]:
        return tuple(fill(one) for one in body.get(key, []))

    return Stage(
        name=name,
        command=fill(body["cmd"]),
        deps=filled("deps"),
        params=filled("params"),
        outs=filled("outs") + filled("metrics"),
        is_alone=bool((body.get("meta") or {}).get("alone")),
    )


def touch(dep: str, out: str) -> bool:
    """Whether an output is what a stage depends on, lies in it, or holds it."""
    first, second = PurePosixPath(dep), PurePosixPath(out)
    return first.is_relative_to(second) or second.is_relative_to(first)


def _ordered(stages: list[Stage], where: str) -> Graph:
    makers = {out: stage.name for stage in stages for out in stage.outs}
    if len(makers) < sum(len(stage.outs) for stage in stages):
        raise ParamsError(f"{where}: two stages make the same output")
    parents = {
        stage.name: tuple(
            dict.fromkeys(makers[out] for dep in stage.deps for out in makers if touch(dep, out))
        )
        for stage in stages
    }
    ordered: dict[str, Stage] = {}
    depths: dict[str, int] = {}
    left = list(stages)
    while left:
        ready = [s for s in left if all(name in ordered for name in parents[s.name])]
        if not ready:
            raise ParamsError(f"{where}: a cycle holds {', '.join(stage.name for stage in left)}")
        for stage in ready:
            depths[stage.name] = 1 + max((depths[name] for name in parents[stage.name]), default=0)
        # the deepest first, so that one model is finished before the next is begun
        chosen = max(ready, key=lambda stage: depths[stage.name])
        ordered[chosen.name] = chosen
        left.remove(chosen)
    return Graph(tuple(ordered.values()), parents)
