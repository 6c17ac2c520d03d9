"""`pisyft audit`: who has asked a worker for what, and what has left it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import click

from pisyft.audit import FILE, REFUSED, Entry, read, what_has_left
from pisyft.cli.options import not_done, own_folder
from pisyft.cli.problems import Problem
from pisyft.wording import counted

_SHOWN = 30
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Since(click.ParamType):
    """A time of day and date in ISO 8601, or how long ago, as in 90m, 2h or 7d; as a datetime with a zone."""

    name = "TIME"

    def convert(self, value, param, ctx):
        if isinstance(value, datetime):
            return value
        if value[:-1].isdigit() and value[-1] in _UNITS:
            return datetime.now(timezone.utc) - timedelta(**{_UNITS[value[-1]]: int(value[:-1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(
                f"{value!r} is neither how long ago, as in 2h or 7d, nor a time, as in 2026-05-01T09:00", param, ctx
            )


@click.command(short_help="Show who has asked this Pi for what, and what has left it.")
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    help="The worker's folder of models, in which its log is.  [default: models, or the one of this Pi's worker]",
)
@click.option("--file", type=click.Path(path_type=Path), help="The log, if the worker was started with --audit.")
@click.option("--since", type=Since(), help="Only what was asked since then: 2h, 7d, or 2026-05-01T09:00.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--all", "show_all", is_flag=True, help=f"Every line, not the last {_SHOWN} only.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: `entries`, and `left` with the totals.")
def audit(
    models: Path | None, file: Path | None, since: datetime | None, refused: bool, show_all: bool, as_json: bool
) -> None:
    """Show who has asked this Pi for what, what was refused, and what has left it.

    Bytes are those that went out. --json has everything: the role, bytes in, and the time to the second.

    The log is the worker's alone: on a Pi where it is a service, put sudo before it.

    \b
    Examples, on the Pi:
      pisyft audit
      pisyft audit --since 2h --refused
    """
    file = file or own_folder(models, "models", "--models") / FILE
    try:
        everything = list(read(file))
    except FileNotFoundError as error:
        raise Problem(f"there is no {file}: say where with --models DIR, or --file FILE") from error
    except OSError as error:
        raise not_done(f"read {file}", error) from error
    in_time = [each for each in everything if since is None or datetime.fromisoformat(each.time) >= since]
    entries = [each for each in in_time if not refused or each.decision == REFUSED]
    left = what_has_left(in_time)
    if as_json:
        found = {"entries": [asdict(each) for each in entries], "left": [asdict(each) for each in left]}
        click.echo(json.dumps(found, indent=2))
        return

    if refused and not entries:
        click.echo(f"{file}: nothing was refused{' since then' if since else ''}.")
        return

    from rich.table import Column, Table

    from pisyft.printing import plain_console

    console = plain_console()
    shown = entries if show_all else entries[-_SHOWN:]
    # It fits a terminal of 80 columns, as one has over ssh; --json has everything.
    columns = [Column(name, overflow="fold", no_wrap=name == "when") for name in ("when", "who", "from", "what")]
    columns += [Column(name, justify="right") for name in ("times", "bytes")]
    table = Table(*columns, Column("decision", overflow="fold"), box=None, padding=(0, 1, 0, 0))
    for each in shown:
        table.add_row(*map(_plain, _row(each)), style="red" if each.decision == REFUSED else "")
    console.print(table)
    if len(shown) < len(entries):
        console.print(f"... and {counted(len(entries) - len(shown), 'line')} before: --all shows all")
    if refused:
        return
    times, sent = Column("times", justify="right"), Column("bytes", justify="right")
    totals = Table("what has left this Pi, in answer to", "received by", "role", times, sent)
    for total in left:
        totals.add_row(*map(_plain, (total.what, _who(total.who), total.role, total.times, f"{total.bytes:,}")))
    totals.add_section()
    totals.add_row("all", "", "", str(sum(each.times for each in left)), f"{sum(each.bytes for each in left):,}")
    console.print(totals)


def _row(entry: Entry) -> tuple:
    when = datetime.fromisoformat(entry.time).astimezone().strftime("%m-%d %H:%M")
    decision = f"{entry.decision}: {entry.rule}" if entry.rule else entry.decision
    return when, _who(entry.who), entry.address, entry.what, entry.times, f"{entry.sent:,}", decision


def _who(caller: str) -> str:
    """Who it is to the owner of the Pi: PySyft's coordinator calls itself "me", which the owner takes for herself."""
    return "coordinator" if caller == "me" else caller


def _plain(value: object) -> str:
    """As text that a terminal takes for nothing else: callers choose their ids."""
    from pisyft.untrusted import printable

    return printable(str(value))
