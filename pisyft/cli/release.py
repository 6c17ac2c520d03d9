"""`pisyft release`: the models that were released to this machine. All but `deliver` needs no PySyft."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pisyft.cli.options import (
    by_id,
    classroom_at,
    classroom_option,
    models_option,
    need_pysyft,
    released_folder,
    workers_option,
)
from pisyft.cli.problems import Problem


@click.group()
def release() -> None:
    """List, show and roll back released models."""


@release.command("list")
@models_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(models: Path | None, as_json: bool) -> None:
    """List the versions, and say which is in use.

    \b
    Example:
      pisyft release list
    """
    from pisyft import charts
    from pisyft.printing import plain_console
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
        plain_console().print(charts.releases(cards, store.current))


@release.command(short_help="Show the card of a model.")
@click.argument("version", type=click.IntRange(1), required=False)
@models_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(version: int | None, models: Path | None, as_json: bool) -> None:
    """Show the card of the model in use, or of another version.

    \b
    Example:
      pisyft release show 2
    """
    from pisyft.release import ModelStore, ReleaseError

    store = ModelStore(released_folder(models))
    try:
        card, _ = store.load(version)
        digest = store.digest(card.version)
    except ReleaseError as error:
        raise Problem(str(error)) from error
    click.echo(json.dumps({**card.as_answer(), "sha256": digest}, indent=2) if as_json else card.as_text(digest))


@release.command(short_help="Use the version before again, on this machine.")
@click.option("--to", "version", type=click.IntRange(1), help="Another version than the one before.")
@models_option
def rollback(version: int | None, models: Path | None) -> None:
    """Put the version before to use again, on this machine, until the next release.

    \b
    Example:
      pisyft release rollback --models models/
    """
    from pisyft.release import ModelStore, ReleaseError
    from pisyft.untrusted import printable

    store = ModelStore(released_folder(models))
    before = store.current
    try:
        card = store.rollback(version)
    except ReleaseError as error:
        raise Problem(str(error)) from error
    date = printable(card.date)
    click.echo(f"{store.folder}: version {card.version} of {date} is in use, instead of version {before}")


@release.command(short_help="Bring the released model to workers that were away.")
@classroom_option
@workers_option
@models_option
def deliver(classroom: Path | None, workers: tuple, models: Path | None) -> None:
    """Bring the released model to workers that were away, as the next `pisyft train` does, too.

    \b
    Example, on the coordinator's laptop:
      pisyft release deliver --classroom classroom/coordinator
    """
    need_pysyft()
    room = classroom_at(classroom) if classroom else None
    addresses = dict(room.pis) if room else by_id(workers)
    store_folder = released_folder(models)

    import syft
    import torch

    from pisyft.release import ModelStore, Pending, ReleaseError, coordinator_key
    from pisyft.rollout import deliver as bring
    from pisyft.transport import WebsocketClientWorker
    from pisyft.transport.errors import TransportError

    store = ModelStore(store_folder)
    if store.current is None:
        raise Problem(f"no released model in {store_folder}: say where with --models DIR")
    hook = syft.TorchHook(torch)
    try:
        for worker, version in Pending(store).versions().items():
            if worker not in addresses:
                click.echo(f"{worker} lacks version {version}: say where it is, with --worker {worker}=HOST:PORT")
                continue
            host, port = addresses[worker]
            try:
                client = WebsocketClientWorker(
                    hook, host, port, id=worker, credentials=room.credentials if room else None
                )
            except TransportError as error:
                click.echo(f"{worker} lacks version {version}: {error}")
                continue
            try:
                delivered = bring([client], store, coordinator_key())
            finally:
                client.close()
            has = f"has version {delivered[worker]}" if worker in delivered else f"still lacks version {version}"
            click.echo(f"{worker} {has}")
    except ReleaseError as error:
        raise Problem(str(error)) from error
    if left := Pending(store).versions():
        raise Problem(f"not delivered to {', '.join(left)}")
    click.echo(f"Every worker has the release: version {store.current} of {store.folder}.")
