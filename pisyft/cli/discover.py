"""`pisyft discover`: the workers that announce themselves on this network. Runs without PySyft."""

from __future__ import annotations

import json

import click

from pisyft.cli.options import Finite
from pisyft.cli.problems import Problem


@click.command(short_help="List the workers on this network.")
@click.option("--seconds", type=Finite(0, min_open=True), default=3.0, show_default=True, help="To listen.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def discover(seconds: float, as_json: bool) -> None:
    """List the workers on this network, where they are, and what they say of themselves.

    Anybody can say anything: a classroom's certificates tell who a worker is.

    \b
    Example:
      pisyft discover
    """
    from pisyft.discovery import TWINS_MEND, discover, twins

    try:
        found = discover(seconds)
    except OSError as error:
        raise Problem(f"this machine has no network that multicast works on: {error.strerror or error}") from error
    if as_json:
        click.echo(json.dumps([worker.as_answer() for worker in found], ensure_ascii=False, indent=2))
        return
    if not found:
        raise Problem(
            "no worker announces itself here: is one started, with --classroom or --announce, and on the same network? "
            "Some access points keep devices apart (client isolation), and guests from everybody"
        )

    from rich.table import Table

    from pisyft.printing import plain_console

    table = Table("id", "address", "model", "PiSyft", "policy")
    for worker in found:
        cells = (worker.id, f"{worker.host}:{worker.port}", worker.model, worker.version, worker.policy)
        table.add_row(*cells)
    plain_console().print(table)
    for worker_id, addresses in twins(found).items():
        click.echo(f"{worker_id} is announced by several workers, at {' and '.join(addresses)}. {TWINS_MEND}", err=True)
