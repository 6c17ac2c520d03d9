"""The commands about a classroom: `pisyft classroom`."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import DEFAULT_PORT, Address
from pisyft.cli.problems import Problem


@click.group()
def classroom() -> None:
    """A classroom: who takes part, and the certificates that prove it."""


@classroom.command()
@click.option("--pi", "pis", type=Address(DEFAULT_PORT), multiple=True, help="A Pi; once for each.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path("classroom"), show_default=True)
@click.option("--name", default="classroom", show_default=True)
@click.option("--minimum", type=click.IntRange(2), default=2, show_default=True, help="Pis that a secure sum needs.")
def create(pis: tuple, into: Path, name: str, minimum: int) -> None:
    """Make an authority, and for each Pi and the coordinator a folder with certificate, key and classroom.toml.

    \b
    Example:
      pisyft classroom create --pi alice=192.168.1.21 --pi bob=192.168.1.22
    """
    from pisyft.classroom import ClassroomError, create

    by_id = dict(pis)
    if len(by_id) < len(pis):
        raise Problem("a Pi is named twice: every Pi has its own id")
    try:
        made = create(into, by_id, name, minimum)
    except ClassroomError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"cannot write {error.filename or into}: {error.strerror}") from error
    for pi in by_id:
        click.echo(
            f"{made[pi].parent}: copy this folder to {pi}, and there: pisyft worker --classroom {pi} --data names/"
        )
    click.echo(f"{made['coordinator'].parent}: stays here: pisyft train --classroom {made['coordinator']}")
    click.echo(f"{into / 'authority'}: signs certificates. Keep it where nobody else can read it.")
