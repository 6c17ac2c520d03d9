"""`pisyft resume`: the end of `pisyft pause`."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import not_done, own_folder, workers_models_option


@click.command(short_help="Have this Pi go on.")
@workers_models_option
def resume(models: Path | None) -> None:
    """Have this Pi's worker go on after `pisyft pause`.

    \b
    Example, on the Pi:
      pisyft resume
    """
    from pisyft.owner import OwnersWord

    folder = own_folder(models, "models", "--models")
    word = OwnersWord(folder)
    was_paused = word.is_paused
    try:
        word.resume()
    except OSError as error:
        raise not_done(f"write to {folder}", error) from error
    click.echo(f"The worker with its models in {folder} {'goes on' if was_paused else 'was not paused'}.")
