"""`pisyft data`: names, before they are anybody's."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from pisyft.cli.options import ALPHABETS, Finite
from pisyft.cli.problems import Problem


@click.group()
def data() -> None:
    """Fetch the tutorial's names, deal names out to workers."""


@data.command(short_help="Bring the tutorial's corpus of 20,000 surnames.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Where to.  [default: your data folder]")
@click.option("--again", is_flag=True, help="Also if it is there already.")
@click.option("--url", help="Where from, if not from PyTorch's site.")
def fetch(into: Path | None, again: bool, url: str | None) -> None:
    """Bring the tutorial's corpus of 20,000 surnames from PyTorch's site, and check it.

    \b
    Example:
      pisyft data fetch
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from pisyft.learning import fetch as fetching
    from pisyft.learning.names import read_folder, total

    folder = into or fetching.corpus_folder()
    if fetching.is_whole(folder) and not again:
        click.echo(f"{folder}: the corpus is here, as it was fetched. Fetch it again with --again.")
        return
    if folder.exists() and not (folder / fetching.DIGESTS).exists() and any(folder.iterdir()):
        raise Problem(f"{folder} holds something else: choose another folder with --into")
    columns = (TextColumn("fetching"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns) as progress:
            task = progress.add_task("", total=None)
            fetching.fetch(
                url or fetching.URL,
                folder,
                lambda received, size: progress.update(task, completed=received, total=size),
            )
    except fetching.FetchError as error:
        raise Problem(f"{error}. Until then, the names in data/names/ are used") from error
    except OSError as error:
        raise Problem(f"cannot write {error.filename or folder}: {error.strerror}") from error
    names = read_folder(folder)
    click.echo(f"{folder}: {total(names)} different names of {len(names)} languages, digests in {fetching.DIGESTS}")
    click.echo(f"Deal them out: pisyft data split {shlex.quote(str(folder))} --into dealt --worker alice --worker bob")


@data.command(short_help="Deal a folder of names out to workers.")
@click.argument("names", type=click.Path(path_type=Path), required=False)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the workers' folders go."
)
@click.option("--worker", "workers", multiple=True, help="A worker's id; once for each worker.")
@click.option("--workers", "count", type=click.IntRange(1), help="So many workers, called pi-1, pi-2, ...")
@click.option(
    "--by",
    type=click.Choice(["equal", "language", "dirichlet", "table"]),
    default="equal",
    show_default=True,
    help="Equal parts of everything; whole languages; unequal parts, drawn with --alpha; or as FILE says.",
)
@click.argument("table", type=click.Path(path_type=Path), required=False, metavar="[FILE]")
@click.option("--alpha", type=Finite(), default=0.5, show_default=True, help="The smaller, the less alike the workers.")
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="In which names are alike.")
@click.option("--seed", default=0, show_default=True, help="The same seed deals the same names.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def split(
    names: Path | None,
    table: Path | None,
    into: Path,
    workers: tuple[str, ...],
    count: int | None,
    by: str,
    alpha: float,
    alphabet: str,
    seed: int,
    as_json: bool,
) -> None:
    """Deal a folder of names out: INTO/ID/names for each worker, every name to one of them.

    Each language's names are split first: 70 % to train on, 10 % to choose by, 20 % to test on. Each part is then
    dealt alike, and has a folder of its own: train, validation, test. Without NAMES, what `pisyft data fetch` has
    brought is dealt, or else data/names.

    \b
    Examples:
      pisyft data split data/names --into dealt --worker alice --worker bob
      pisyft data split data/names --into dealt --worker alice --worker bob --by language
      pisyft data split data/names --into dealt --workers 10 --by dirichlet --alpha 0.5
      pisyft data split data/names --by table shares.csv --into dealt
    """
    from pisyft import charts
    from pisyft.learning import names as dealing
    from pisyft.learning.alphabet import alphabet_by_name
    from pisyft.learning.fetch import names_to_use
    from pisyft.printing import plain_console
    from pisyft.wording import counted

    if by == "table" and table is None:
        names, table = None, names
    if (by == "table") != (table is not None):
        raise Problem("a table of shares goes with --by table, and --by table with one: --by table shares.csv")
    if count and workers:
        raise Problem("name the workers with --worker, or say how many with --workers: not both")
    try:
        ids = list(workers) or [f"pi-{number}" for number in range(1, (count or 0) + 1)]
        if not ids and table:
            ids = dealing.workers_of_table(table)
        _check_ids(ids, into)
        letters = alphabet_by_name(alphabet)
        if names is None:
            names = names_to_use()
            click.echo(f"Dealing out the names in {names}", err=as_json)
        everything = dealing.read_folder(names, letters)
        if by == "equal":
            shares = dealing.equal_shares(everything, len(ids))
        elif by == "language":
            shares = dealing.shares_by_language(list(everything), len(ids), seed)
        elif by == "dirichlet":
            shares = dealing.dirichlet_shares(everything, len(ids), alpha, seed)
        else:
            assert table is not None
            shares = dealing.shares_from_table(table, everything, ids)
        hands = dealing.deal_parts(dealing.split(everything, seed), shares, seed)
    except dealing.NamesError as error:
        raise Problem(str(error)) from error
    for worker, hand in zip(ids, hands, strict=True):
        if not dealing.total(hand.train) or not dealing.total(hand.test):
            raise Problem(
                f"{worker} would get no names to {'test' if dealing.total(hand.train) else 'train'} on: deal to fewer "
                "workers, or with another seed or other shares"
            )
    for worker, hand in zip(ids, hands, strict=True):
        try:
            dealing.write_parts(hand, into / worker / "names")
        except OSError as error:
            raise Problem(f"cannot write {error.filename or into}: {error.strerror}") from error
    if as_json:
        told = {
            worker: {
                "folder": str(into / worker / "names"),
                **{part: {language: len(held) for language, held in of_part.items()} for part, of_part in hand.items()},
            }
            for worker, hand in zip(ids, hands, strict=True)
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    plain_console().print(charts.dealt(dict(zip(ids, hands, strict=True))))
    if several := dealing.in_several_languages(everything, letters):
        click.echo(f"{several} names occur in two languages or more. They stay in each.")
    for worker, hand in zip(ids, hands, strict=True):
        held = [language for language, of_language in hand.together.items() if of_language]
        names_held = counted(dealing.total(hand.together), "name")
        click.echo(f"{into / worker / 'names'}: {names_held} of {counted(len(held), 'language')}")


def _check_ids(workers: list[str], into: Path) -> None:
    if not workers:
        raise Problem("name the workers: --worker alice --worker bob")
    if len(set(workers)) < len(workers):
        raise Problem(f"two workers have the same id: {', '.join(workers)}")
    for worker in workers:
        if worker in ("", ".", "..") or "/" in worker:
            raise Problem(f"{worker!r} cannot be a worker's id: it is the name of a folder, too")
        target = into / worker / "names"
        if target.is_dir() and any(target.iterdir()):
            raise Problem(f"{target} holds names already: remove them first, or choose another folder with --into")
