"""`pisyft forget`: the owner of a Pi drops its models, and what its worker has learned and not given away."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import not_done, own_folder, workers_models_option


@click.command(short_help="Remove the models that were released to this Pi.")
@workers_models_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(models: Path | None, yes: bool) -> None:
    """Remove the models that were released to this Pi, and have its worker leave the round under way.

    rounds.jsonl stays. It holds no names and no models, only which updates were given away: without it the worker could
    give the same one away for another sum, and the difference of the two could be its own. The audit log stays, too.

    \b
    Example, on the Pi:
      pisyft forget
    """
    from pisyft.owner import OwnersWord
    from pisyft.release import ModelStore
    from pisyft.wording import counted

    folder = own_folder(models, "models", "--models")
    store = ModelStore(folder)
    if not yes:
        click.confirm(f"Remove {counted(len(store.versions()), 'model')} from {folder}?", abort=True)
    try:
        OwnersWord(folder).forget()
        removed = store.forget()
    except OSError as error:
        raise not_done(f"write to {folder}", error) from error
    click.echo(f"Removed from {folder}: {counted(removed, 'model')}, and what was not yet given away.")
