"""Mixes: several prepared datasets joined for cross-dataset training, held by hashes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tasks.artifacts.files import Artifact, sha256_of
from tasks.data.series import Series, SeriesSet, concatenate, load_series
from tasks.errors import ArtifactError
from tasks.sections.data import Mix

Weight = Callable[[Series], float]


class MixMember(Artifact):
    """One member of a mix: its prepared history and what it held when the mix was made."""

    dataset: str
    folder: str  # relative to the folder of the manifest's workspace
    num_series: int
    num_points: int
    values_sha256: str
    series_sha256: str


class MixManifest(Artifact):
    """`data/mixes/NAME.json`."""

    mix: str
    members: list[MixMember]


def make_manifest(name: str, members: Sequence[str], root: Path) -> MixManifest:
    """The manifest of a mix of prepared datasets below `root`.

    Raises:
        ArtifactError: a member was not prepared.
    """
    rows = []
    for member in members:
        folder = Path("data/prepared") / member / "history"
        data = load_series(root / folder)
        rows.append(
            MixMember(
                dataset=member,
                folder=folder.as_posix(),
                num_series=len(data.series),
                num_points=len(data.values),
                values_sha256=_sha256(root / folder / "values.npy"),
                series_sha256=_sha256(root / folder / "series.json"),
            )
        )
    return MixManifest(mix=name, members=rows)


def load_mix(manifest: Path, mix: Mix, root: Path) -> tuple[SeriesSet, Weight | None]:
    """All series of a mix, and the weight of each when windows are drawn.

    Args:
        manifest: `data/mixes/NAME.json`.
        mix: its section of params.yaml. `windows`: all windows are drawn alike (None);
            `capped`: a series weighs min(its observed values, cap), padding not counted.
        root: the workspace.

    Raises:
        ArtifactError: the manifest is missing or for other members, or a member has changed.
    """
    content = MixManifest.read(manifest)
    found = [member.dataset for member in content.members]
    if found != list(mix.members):
        raise ArtifactError(
            f"{manifest}: made for {', '.join(found)}, params.yaml names {', '.join(mix.members)}; "
            f"run `python -m tasks.mix --mix {content.mix}` again"
        )
    for member in content.members:
        for name, expected in (
            ("values.npy", member.values_sha256),
            ("series.json", member.series_sha256),
        ):
            path = root / member.folder / name
            if _sha256(path) != expected:
                raise ArtifactError(
                    f"{path}: is not the file that {manifest} was made from (sha256 differs); run "
                    f"`python -m tasks.mix --mix {content.mix}` again"
                )
    data = concatenate([load_series(root / member.folder) for member in content.members])
    if mix.weights == "windows":
        return data, None
    observed = np.concatenate([[0], np.cumsum(~np.isnan(data.values))])
    return data, lambda one: float(
        min(observed[one.start + one.length] - observed[one.start], mix.cap)
    )


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ArtifactError(f"{path}: missing; run `dvc repro` to make it") from error
