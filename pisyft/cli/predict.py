"""`pisyft predict`: asks the released model. Needs no PySyft."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pisyft.cli.options import models_option, released_folder
from pisyft.cli.problems import Problem


@click.command()
@click.argument("names", nargs=-1)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="How many languages to tell.")
@click.option("--version", type=click.IntRange(1), help="Of the model.  [default: the one in use]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@models_option
def predict(names: tuple[str, ...], top: int, version: int | None, as_json: bool, models: Path | None) -> None:
    """Guess the language of surnames with the released model. Without NAMES, or with -, of those on standard input.

    \b
    Examples:
      pisyft predict Qing Gadler --top 3
      pisyft predict --json < names.txt
    """
    folder = released_folder(models)
    if not names and sys.stdin.isatty():
        raise Problem("give surnames, as in: pisyft predict Qing Gadler")

    import torch
    from rich.console import Console

    from pisyft import charts
    from pisyft.learning.alphabet import NamesError
    from pisyft.learning.evaluation import predict as guess
    from pisyft.learning.released import load_released
    from pisyft.release import ReleaseError

    torch.set_num_threads(1)
    try:
        released = load_released(folder, version)
    except (NamesError, ReleaseError) as error:
        raise Problem(str(error)) from error
    answers: list[dict] = []
    console = Console(highlight=False)
    for name in _names(names):
        try:
            guesses = guess(released.model, name, released.card.languages, top, released.alphabet)
        except NamesError as error:
            answers.append({"name": name, "error": str(error)})
            if not as_json:
                console.print(f"\n> {name}\n{error}", markup=False)
            continue
        answers.append(
            {"name": name, "guesses": [{"language": each, "log_probability": value} for value, each in guesses]}
        )
        if not as_json:
            console.print(f"\n> {name}", markup=False)
            console.print(charts.guesses(guesses))
    if as_json:
        click.echo(json.dumps({"version": released.card.version, "names": answers}, ensure_ascii=False, indent=2))
    if any("error" in answer for answer in answers):
        sys.exit(2)


def _names(arguments: tuple[str, ...]) -> Iterator[str]:
    for argument in arguments or ("-",):
        if argument == "-":
            lines = (line.decode("utf-8", errors="replace").strip() for line in sys.stdin.buffer)
            yield from filter(None, lines)
        else:
            yield argument
