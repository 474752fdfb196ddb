"""The commands of the console script that are about models."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.options import File, with_reading


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
        "next: `fewlayers run`; what it makes lies in "
        + " and ".join(f"models/published/DATASET/{one}/" for one in added.names[1:])
    )


@with_reading
def forecast(
    model: Annotated[Path, typer.Argument(help="A folder below models/pruned or models/full.")],
    file: File,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Rows ahead; as the model was trained to.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Last rows that it sees; as it was trained with.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A .csv, .csv.gz or .parquet file; NAME-forecast.csv.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Series at once.")] = 256,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto: CUDA where there is one.")
    ] = "auto",
    skip_short: Annotated[
        bool, typer.Option("--skip-short", help="Leave out series with too few values.")
    ] = False,
    *,
    reading: dict[str, Any],
) -> None:
    """Forecast every series of a file with a full or pruned model.

    Writes unique_id, ds, mean and, where the model has quantiles, 0.1 ... 0.9. Series stay on
    their own scale: the models normalise by the context. Times are in UTC where the file's have
    offsets, or where a time zone is named and they are not daily.

    Examples:
      fewlayers forecast models/pruned/sales/bolt-tuned sales.csv --out next.parquet

      fewlayers forecast models/full/sales/bolt-tuned readings.parquet --kind long --horizon 24
    """
    from flows.add_data import dataset_entry
    from tasks.forecast import Settings, forecast_file

    entry = dataset_entry(reading)
    settings = Settings(
        horizon=horizon,
        context=context,
        batch_size=batch_size,
        device=device,
        skip_short=skip_short,
    )
    target = out or Path(f"{file.name.partition('.')[0]}-forecast.csv")
    done = forecast_file(model, file, entry, target, settings)
    if done.skipped:
        typer.echo(f"left out, too short: {', '.join(done.skipped)}")
    quantiles = f", quantiles {done.levels[0]:g} to {done.levels[-1]:g}" if done.levels else ""
    typer.echo(
        f"{done.path}: {done.series} series, {done.horizon} rows ahead ({done.freq}){quantiles}"
    )


def export(
    model: Annotated[Path, typer.Argument(help="A folder below models/pruned or models/full.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pt2 or .onnx file.")],
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Rows ahead, fixed; as the model was trained to.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Series at once, where the size cannot be left free.")
    ] = 8,
) -> None:
    """Export a model's forecast for serving: torch.export (.pt2) or ONNX (.onnx).

    The program takes contexts [batch, context], NaN = missing, and gives the mean and, where the
    model has them, quantiles. The file is read back and compared with the model's own forecasts.

    Examples:
      fewlayers export models/pruned/sales/bolt-tuned bolt.onnx

      fewlayers export models/pruned/sales/bolt-tuned bolt.pt2 --horizon 24
    """
    from tasks.models.export import export_model
    from tasks.models.registry import load_model

    loaded = load_model(model)
    ahead = horizon or int(loaded.config.horizon)
    made = export_model(loaded, file, horizon=ahead, batch=batch)
    size = "any batch" if made.is_dynamic else f"batches of {made.batch}"
    typer.echo(f"{file}: {made.context} rows in, {ahead} out, {size}; equals the model's forecasts")
