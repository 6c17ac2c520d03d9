"""`pisyft doctor`: is this machine fit for a federation? Runs where PyTorch and PySyft do not."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import click

from pisyft.cli.options import Address, by_id, classroom_at
from pisyft.cli.problems import Problem


@click.command(short_help="Check this machine and the way to the others.")
@click.option("--classroom", type=click.Path(path_type=Path), help="This member's folder of a classroom.")
@click.option("--peer", "peers", type=Address(), multiple=True, help="A worker to reach, without a classroom.")
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where names and models are: its disk is tried.  [default: here]",
)
@click.option("--port", "-p", type=click.IntRange(1, 65535), help="That a worker listens on.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(classroom: Path | None, peers: tuple, folder: Path, port: int | None, as_json: bool) -> None:
    """Check this machine, and the way to the others, and say how to mend what is wrong.

    Exit status: 0 if nothing failed (warnings may have been given), 1 if something did.

    \b
    Examples:
      pisyft doctor
      pisyft doctor --classroom alice --data names/
    """
    if classroom and peers:
        raise Problem("--classroom says who the others are: leave out --peer")

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from pisyft.doctor import FAILED, examine
    from pisyft.printing import plain_console

    load = functools.partial(classroom_at, classroom) if classroom else None
    checks = []
    with Console(stderr=True).status("examining ...") as status:
        for check in examine(load, by_id(peers), folder, port):
            checks.append(check)
            status.update(escape(f"{check.name}: {check.state}"))
    failed = [check for check in checks if check.state == FAILED]
    if as_json:
        answer = {"ok": not failed, "checks": [check.as_answer() for check in checks]}
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        table = Table("check", "", "found", "mend", highlight=False)
        colours = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
        for check in checks:
            table.add_row(check.name, Text(check.state, style=colours[check.state]), check.found, check.mend)
        plain_console().print(table)
        click.echo(f"{len(failed)} of {len(checks)} checks failed" if failed else "Nothing failed.")
    sys.exit(1 if failed else 0)
