"""`pisyft names`: the names of one worker, on its Pi."""

from __future__ import annotations

from pathlib import Path

import click

from pisyft.cli.options import ALPHABETS, STATE, not_done, own_folder
from pisyft.cli.problems import Problem


@click.group()
def names() -> None:
    """Add names to those of this Pi."""


@names.command(short_help="Add a surname to those that a worker trains on.")
@click.argument("name")
@click.option("--language", required=True, help="The language that it is of.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help=f"The worker's folder of names.  [default: names, or the one in {STATE}/*]",
)
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="In which names are alike.")
@click.option("--new-language", is_flag=True, help="Make the language if the folder does not have it.")
def add(name: str, language: str, data: Path | None, alphabet: str, new_language: bool) -> None:
    """Add a surname to those that a worker trains on, from its next round on.

    \b
    Example, on a Pi:
      pisyft names add Gadler --language German
    """
    from pisyft.learning.alphabet import alphabet_by_name
    from pisyft.learning.names import NamesError, add_name, read_folder

    folder = own_folder(data, "names", "--data")
    try:
        new = language not in read_folder(folder, alphabet_by_name(alphabet))
        file = add_name(name, language, folder, alphabet_by_name(alphabet), new_language)
    except NamesError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise not_done(f"write {error.filename or folder}", error) from error
    click.echo(f"{file}: {' '.join(name.split())} added. ", nl=False)
    if new:
        click.echo(f"{language} is new: once every Pi has it, restart the workers. Until then they go on without it.")
    else:
        click.echo("The next round trains on it.")
