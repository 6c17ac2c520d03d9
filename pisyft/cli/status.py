"""`pisyft status`: what the worker on this Pi is doing. Asks its files, not the network; runs without PySyft."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pisyft.cli.options import STATE, installed, not_done
from pisyft.cli.problems import Problem
from pisyft.wording import counted

if TYPE_CHECKING:
    from pisyft.status import Status

_PARTS = {"train": "to train on", "validation": "to choose by", "test": "to test on"}


@click.command(short_help="Show what this Pi's worker is doing, and what it holds.")
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The worker's folder of models.  [default: models, or all in {STATE}/*]",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list, with an entry for each worker.")
def status(models: Path | None, as_json: bool) -> None:
    """Show what the worker on this Pi is doing, what it holds, and how the Pi is.

    Exit status: 0 if every worker runs, 1 if one does not.

    \b
    Example, on the Pi:
      pisyft status
    """
    from pisyft.status import read_status

    here = models or (Path("models") if Path("models").is_dir() else None)
    folders = [here] if here else installed("models")
    if not folders:
        raise Problem(f"there is no folder models here, and no worker in {STATE}: say where with --models DIR")
    found, not_running = [], []
    for folder in folders:
        try:
            told = read_status(folder)
        except PermissionError as error:
            raise not_done(f"read {error.filename}", error) from error
        service = f"pisyft-worker@{folder.parent.name}" if folder.parent.parent == STATE else None
        if told is None and not service:
            raise Problem(f"no worker has been started with its models in {folder}: say where with --models DIR")
        if told is None or not told.is_running:
            not_running.append(_why_not(told.worker if told else folder.parent.name, service))
        if told is not None:
            found.append(_facts(folder, told))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for facts in found:
            _print(facts)
    for text in not_running:
        click.echo(text, err=True)
    sys.exit(1 if not_running else 0)


def _why_not(worker: str, service: str | None) -> str:
    if service is None:
        return f"{worker} does not run: start it with pisyft worker"
    return f"{worker} does not run: journalctl -u {service} says why, and sudo systemctl start {service} starts it"


def _facts(folder: Path, told: Status) -> dict:
    from pisyft import board
    from pisyft.aggregation.agreement import last_given
    from pisyft.learning.alphabet import NamesError, alphabet_by_name
    from pisyft.learning.names import read_parts, total
    from pisyft.owner import OwnersWord
    from pisyft.release import ModelStore, ReleaseError

    store = ModelStore(folder)
    facts = {**asdict(told), "running": told.is_running, "paused": OwnersWord(folder).is_paused}
    del facts["ticks"]
    if not told.is_running:
        facts |= {"doing": None, "since": None}
    try:
        parts = read_parts(told.names or folder.parent / "names", alphabet_by_name(told.alphabet))
        facts |= {"languages": len(parts.languages), "counts": {part: total(names) for part, names in parts.items()}}
    except NamesError as error:
        facts |= {"languages": None, "counts": None, "names_problem": str(error)}
    facts |= {"last_round": last_given(folder / "rounds.jsonl"), "released": store.current, "accuracy": None}
    try:
        facts["accuracy"] = store.load()[0].accuracy_by_worker.get(told.worker)
    except ReleaseError as error:
        if store.current:
            facts["released_problem"] = str(error)
    return {**facts, "board": board.facts()}


def _print(facts: dict) -> None:
    from rich.table import Table

    from pisyft.printing import plain_console

    table = Table(show_header=False, title=facts["worker"], title_justify="left")
    for what, text in _rows(facts):
        table.add_row(what, text)
    plain_console().print(table)


def _rows(facts: dict) -> list[tuple[str, str]]:
    if facts["running"]:
        rows = [
            ("running", f"for {_ago(facts['started'])}, as process {facts['pid']}"),
            ("listens on", f"{facts['host']}:{facts['port']}"),
            ("doing", f"{facts['doing']}, for {_ago(facts['since'])}"),
        ]
    else:
        rows = [("running", "no")]
    rows += [
        ("paused", "yes, until pisyft resume" if facts["paused"] else "no"),
        ("policy", f"{facts['policy']}, figures over {facts['floor']} names or more"),
        ("names", _names(facts)),
        ("last round", _last_round(facts)),
        ("model", _model(facts)),
        ("machine", _machine(facts["board"])),
    ]
    return rows


def _names(facts: dict) -> str:
    if facts["counts"] is None:
        return facts["names_problem"]
    parts = ", ".join(f"{facts['counts'][part]:,} {purpose}" for part, purpose in _PARTS.items())
    return f"{parts}, of {counted(facts['languages'], 'language')}"


def _last_round(facts: dict) -> str:
    last = facts["last_round"]
    if last is None:
        return "none yet"
    others = ", ".join(each for each in map(str, last["participants"]) if each != facts["worker"])
    return f"{_ago(last['time'])} ago, with {others} ({last['protocol']})"


def _model(facts: dict) -> str:
    if facts["released"] is None:
        return "none was released yet"
    right = "" if facts["accuracy"] is None else f", {facts['accuracy']:.0%} right on this Pi's test names"
    return facts.get("released_problem") or f"version {facts['released']}{right}"


def _machine(board: dict) -> str:
    total, available, celsius = (
        board[key] for key in ("memory_bytes", "memory_available_bytes", "temperature_celsius")
    )
    memory = f", {available / 2**20:,.0f} of {total / 2**20:,.0f} MB of memory free" if total and available else ""
    return f"{board['model']}{memory}" + ("" if celsius is None else f", {celsius:.0f} °C")


def _ago(time: str) -> str:
    seconds = max(int((datetime.now(timezone.utc) - datetime.fromisoformat(time)).total_seconds()), 0)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
