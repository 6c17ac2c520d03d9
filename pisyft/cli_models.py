"""The commands about trained models: `pisyft predict`, `pisyft release`, `pisyft runs`. None of them needs PySyft."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pisyft.problems import Problem

# Where a model may have been released to, from here: on a Pi, and on a laptop.
PLACES = (Path("models"), Path("artifacts/train/models"), Path("artifacts/demo/models"))

models_option: Callable = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The folder with released models.  [default: the first of {', '.join(map(str, PLACES))}]",
)


def released_folder(models: Path | None) -> Path:
    if models is None:
        models = next((place for place in PLACES if (place / "current").exists()), None)
    if models is None:
        raise Problem(f"there is no released model in {', '.join(map(str, PLACES))}: say where with --models DIR")
    return models


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


@click.group()
def release() -> None:
    """The models that were released to this machine."""


@release.command("list")
@models_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(models: Path | None, as_json: bool) -> None:
    """List the versions, and say which is in use."""
    from rich.console import Console

    from pisyft import charts
    from pisyft.release import ModelStore, ReleaseError

    store = ModelStore(released_folder(models))
    try:
        cards = [store.load(version)[0] for version in store.versions()]
    except ReleaseError as error:
        raise Problem(str(error)) from error
    if as_json:
        click.echo(json.dumps({"current": store.current, "versions": [card.as_answer() for card in cards]}, indent=2))
    elif not cards:
        raise Problem(f"no released model in {store.folder}")
    else:
        Console().print(charts.releases(cards, store.current))


@release.command()
@click.argument("version", type=click.IntRange(1), required=False)
@models_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(version: int | None, models: Path | None, as_json: bool) -> None:
    """Show the card of the model in use, or of another version."""
    from pisyft.release import ModelStore, ReleaseError

    store = ModelStore(released_folder(models))
    try:
        card, _ = store.load(version)
        digest = store.digest(card.version)
    except ReleaseError as error:
        raise Problem(str(error)) from error
    click.echo(json.dumps({**card.as_answer(), "sha256": digest}, indent=2) if as_json else card.as_text(digest))


@release.command()
@click.option("--to", "version", type=click.IntRange(1), help="Another version than the one before.")
@models_option
def rollback(version: int | None, models: Path | None) -> None:
    """Put the version before to use again, on this machine, until the next release.

    \b
    Example:
      pisyft release rollback --models models/
    """
    from pisyft.release import ModelStore, ReleaseError

    store = ModelStore(released_folder(models))
    before = store.current
    try:
        card = store.rollback(version)
    except ReleaseError as error:
        raise Problem(str(error)) from error
    click.echo(f"{store.folder}: version {card.version} of {card.date} is in use, instead of version {before}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("artifacts"))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def runs(folder: Path, as_json: bool) -> None:
    """Compare the training runs in a folder: their settings and figures.

    \b
    Example:
      pisyft runs artifacts/
    """
    from rich.console import Console

    from pisyft import charts

    found = []
    for file in sorted(folder.glob("**/summary.json")):
        try:
            summary = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            click.echo(f"{file} is left out: it cannot be read ({error})", err=True)
            continue
        if isinstance(summary, dict) and "accuracy_final" in summary:  # not a benchmark's
            found.append({"run": str(file.parent.relative_to(folder)), **summary})
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        raise Problem(f"there are no runs in {folder}: pisyft train --lab makes one")
    else:
        Console().print(charts.runs(found))
