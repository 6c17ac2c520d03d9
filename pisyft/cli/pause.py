"""`pisyft pause`: the owner of a Pi has its worker do nothing for a while."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import workers_folder, workers_models_option
from pisyft.cli.problems import Problem


@click.command()
@workers_models_option
def pause(models: Path) -> None:
    """Have this Pi's worker not train, count or sum up, until `pisyft resume`.

    What it is doing now it finishes, and gives nothing of it away. It says that it is paused, also after a restart.

    \b
    Example, on the Pi:
      pisyft pause
    """
    from pisyft.owner import OwnersWord

    try:
        OwnersWord(workers_folder(models)).pause()
    except OSError as error:
        raise Problem(f"cannot write to {models}: {error.strerror}") from error
    click.echo(f"The worker with its models in {models} is paused: pisyft resume ends it.")
