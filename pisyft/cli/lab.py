"""`pisyft lab`: workers on this machine, to try things out with."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from pisyft.cli.options import ALPHABETS, names_option, need_pysyft
from pisyft.cli.problems import Problem

_IDS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")


def worker_ids(count: int) -> list[str]:
    """Ids for so many workers: people's names, as far as they go."""
    return [*_IDS[:count], *(f"pi-{number}" for number in range(len(_IDS) + 1, count + 1))]


def end_once() -> None:
    """Have SIGTERM end this process as Ctrl-C does, and both only once: what was started is stopped and removed."""
    import signal

    def interrupt(*_: object) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    heeded = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as in the background
        heeded.append(signal.SIGINT)
    for each in heeded:
        signal.signal(each, interrupt)


@click.command(short_help="Start workers on this machine, to play with.")
@click.option("--workers", "size", type=click.IntRange(2, 20), default=3, show_default=True, help="How many.")
@names_option("The names that are dealt out to them.")
@click.option(
    "--policy",
    type=click.Choice(["strict", "teach"]),
    default="teach",
    show_default=True,
    help="teach: pointers may compute on the names, for the notebooks. strict: verbs only, as on a Pi.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keeps the workers' names, models and logs.  [default: a temporary folder, which goes with the lab]",
)
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Deals the names.")
@click.option("--allow-plain", is_flag=True, help="Take part in sums that hide nothing, too. For teaching.")
def lab(size: int, names: Path, policy: str, folder: Path | None, alphabet: str, seed: int, allow_plain: bool) -> None:
    """Start workers on this machine, each with names of its own, until Ctrl-C.

    They have the certificates of a classroom that is made for them, so that every command that takes --classroom works
    with them as with Pis.

    \b
    Examples:
      pisyft lab
      pisyft lab --workers 5 --policy strict --folder lab/
    """
    need_pysyft()

    import time
    from contextlib import suppress

    from pisyft.lab import Lab, LabError

    ids = worker_ids(size)
    end_once()
    click.echo(f"Starting {', '.join(ids)}, each with names of its own ...")
    try:
        # Ctrl-C ends it also right after it was told so.
        with Lab(names, ids, folder, seed, policy, allow_plain, True, alphabet) as opened, suppress(KeyboardInterrupt):
            width = max(map(len, ids))
            for worker, (host, port) in opened.addresses.items():
                click.echo(f"  {worker:{width}}  {host}:{port}  log: {opened.log_of(worker)}")
            coordinator = opened.folder / "classroom" / "coordinator"
            click.echo(
                f"The classroom: {coordinator / 'classroom.toml'}\n"
                "In another terminal:\n"
                f"  pisyft train --classroom {quote(str(coordinator))}\n"
                f"  pisyft classroom watch --classroom {quote(str(coordinator))}\n"
                "Ctrl-C ends the lab."
            )
            while True:
                time.sleep(60)
    except LabError as error:
        raise Problem(str(error)) from error
