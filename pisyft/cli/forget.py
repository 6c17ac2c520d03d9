"""`pisyft forget`: the owner of a Pi drops its models, and what its worker has learned and not given away."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import workers_folder, workers_models_option
from pisyft.cli.problems import Problem


@click.command()
@workers_models_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(models: Path, yes: bool) -> None:
    """Remove the models that were released to this Pi, and have its worker leave the round under way.

    rounds.jsonl stays. It holds no names and no models, only which updates were given away: without it the worker could
    give the same one away for another sum, and the difference of the two could be its own. The audit log stays, too.

    \b
    Example, on the Pi:
      pisyft forget
    """
    from pisyft.owner import OwnersWord
    from pisyft.release import ModelStore

    store = ModelStore(workers_folder(models))
    if not yes:
        click.confirm(f"Remove {len(store.versions())} models from {models}?", abort=True)
    try:
        OwnersWord(models).forget()
        removed = store.forget()
    except OSError as error:
        raise Problem(f"cannot write to {models}: {error.strerror}") from error
    click.echo(f"{removed} models are removed from {models}, and what was not yet given away is dropped.")
