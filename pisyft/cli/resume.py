"""`pisyft resume`: the end of `pisyft pause`."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import workers_folder, workers_models_option
from pisyft.cli.problems import Problem


@click.command()
@workers_models_option
def resume(models: Path) -> None:
    """Have this Pi's worker go on after `pisyft pause`.

    \b
    Example, on the Pi:
      pisyft resume
    """
    from pisyft.owner import OwnersWord

    word = OwnersWord(workers_folder(models))
    was_paused = word.is_paused
    try:
        word.resume()
    except OSError as error:
        raise Problem(f"cannot write to {models}: {error.strerror}") from error
    click.echo(f"The worker with its models in {models} {'goes on' if was_paused else 'was not paused'}.")
