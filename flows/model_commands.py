"""The commands of the console script that are about models."""

from pathlib import Path
from typing import Annotated

import typer


def add_model(
    name: Annotated[str, typer.Argument(help="The checkpoint's name in params.yaml.")],
    source: Annotated[
        str,
        typer.Argument(metavar="FOLDER_OR_ID", help="A checkpoint's folder, or an id on the hub."),
    ],
    family: Annotated[
        str | None, typer.Option(help="As in params.yaml; told from its config.json where it can.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit of a hub id; without it, the newest is pinned.")
    ] = None,
    hub_id: Annotated[
        str | None, typer.Option(help="Which model on the hub a folder is, for the model card.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Also prune it without tuning the full model first.")
    ] = False,
) -> None:
    """Bring a published model in: load it once, enter it in params.yaml to be tuned and pruned.

    Either all of that happens or nothing. Only safetensors are read, and no code of a checkpoint
    is run. The next `fewlayers run` imports it, tunes NAME-tuned on every dataset and prunes it.

    Examples:
      fewlayers add-model bolt ./chronos-bolt-base --as-is

      fewlayers add-model bolt amazon/chronos-bolt-base --revision COMMIT
    """
    from flows.add_model import add_model as add

    added = add(
        Path.cwd(),
        name,
        source,
        family=family,
        revision=revision,
        hub_id=hub_id,
        as_it_is=as_is,
    )
    typer.echo(added.told())
    typer.echo(f"added to params.yaml: {', '.join(added.names)}")
    typer.echo(
        "next: `fewlayers run`; what it makes lies in models/published/DATASET/"
        f"{{{','.join(added.names[1:])}}}/"
    )
