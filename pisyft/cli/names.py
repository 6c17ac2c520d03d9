"""`pisyft names`: the names of one worker, on its Pi."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import ALPHABETS
from pisyft.cli.problems import Problem


@click.group()
def names() -> None:
    """Add names to those of this Pi."""


@names.command()
@click.argument("name")
@click.option("--language", required=True, help="The language that it is of.")
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True, help="The worker's folder of names.")
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="In which names are alike.")
@click.option("--new-language", is_flag=True, help="Make the language if the folder does not have it.")
def add(name: str, language: str, folder: Path, alphabet: str, new_language: bool) -> None:
    """Add a surname to those that a worker trains on, from its next round on.

    \b
    Example, on a Pi:
      pisyft names add Novotná --language Czech --data names/
    """
    from pisyft.learning.alphabet import alphabet_by_name
    from pisyft.learning.names import NamesError, add_name

    try:
        file = add_name(name, language, folder, alphabet_by_name(alphabet), new_language)
    except NamesError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"cannot write {error.filename or folder}: {error.strerror}") from error
    click.echo(f"{file}: {' '.join(name.split())} added. The next round trains on it.")
