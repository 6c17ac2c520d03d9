"""`pisyft pause`: the owner of a Pi has its worker do nothing for a while."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import not_done, own_folder, workers_models_option


@click.command(short_help="Have this Pi train, count and sum up nothing, until resume.")
@workers_models_option
def pause(models: Path | None) -> None:
    """Have this Pi's worker not train, count or sum up, until `pisyft resume`.

    What it is doing now it finishes, and gives nothing of it away. It says that it is paused, also after a restart.

    \b
    Example, on the Pi:
      pisyft pause
    """
    from pisyft.owner import OwnersWord

    folder = own_folder(models, "models", "--models")
    try:
        OwnersWord(folder).pause()
    except OSError as error:
        raise not_done(f"write to {folder}", error) from error
    click.echo(f"The worker with its models in {folder} is paused: pisyft resume ends it.")
