"""`pisyft predict`: asks the released model. Needs neither PyTorch nor PySyft nor a network."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pisyft.cli.options import models_option, released_folder
from pisyft.cli.problems import Problem

_BAR = 30  # characters for all of a probability


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

    # NumPy's BLAS starts a thread for every core when it is loaded; a name is too little work for one more.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from pisyft.learning.alphabet import NamesError
    from pisyft.learning.released import load_released
    from pisyft.release import ReleaseError

    try:
        released = load_released(folder, version)
    except (NamesError, ReleaseError) as error:
        raise Problem(str(error)) from error
    answers: list[dict] = []
    for name in _names(names):
        try:
            guesses = released.guess(name, top)
        except NamesError as error:
            answers.append({"name": name, "error": str(error)})
            if not as_json:
                click.echo(f"\n> {name}\n{error}")
            continue
        answers.append(
            {"name": name, "guesses": [{"language": each, "log_probability": value} for value, each in guesses]}
        )
        if not as_json:
            click.echo(f"\n> {name}\n{_bars(guesses)}")
    if as_json:
        click.echo(json.dumps({"version": released.card.version, "names": answers}, ensure_ascii=False, indent=2))
    if any("error" in answer for answer in answers):
        sys.exit(2)


def _bars(guesses: list[tuple[float, str]]) -> str:
    """Languages with log-probabilities, as the tutorial prints them, and a bar of each probability.

    Without rich, which would be a third of the time that this command takes.
    """
    texts = [f"({value:.2f}) {language}" for value, language in guesses]
    wide = max(map(len, texts))
    parts = [math.exp(value) for value, _ in guesses]
    return "\n".join(
        f"{text:<{wide}}  {_bar(part):<{_BAR}}  {part:>4.0%}" for text, part in zip(texts, parts, strict=True)
    )


def _bar(part: float) -> str:
    """In eighths of a block."""
    eighths = round(8 * _BAR * part)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _names(arguments: tuple[str, ...]) -> Iterator[str]:
    for argument in arguments or ("-",):
        if argument == "-":
            lines = (line.decode("utf-8", errors="replace").strip() for line in sys.stdin.buffer)
            yield from filter(None, lines)
        else:
            yield argument
