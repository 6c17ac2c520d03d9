"""`pisyft worker`: what runs on a Pi."""

from __future__ import annotations

import contextlib
import ipaddress
from pathlib import Path

import click

from pisyft.audit import FILE as AUDIT_FILE
from pisyft.audit import AuditLog
from pisyft.cli.options import ALPHABETS, DEFAULT_PORT, Address, Limit, by_id, classroom_at, need_pysyft
from pisyft.cli.problems import Problem
from pisyft.limits import Limits, LimitsError


@click.command()
@click.option(
    "--classroom",
    type=click.Path(path_type=Path),
    help="The Pi's folder of a classroom, or the classroom.toml in it: its id, certificate and peers.",
)
@click.option("--id", "worker_id", help="The worker's id, by which others know it, where there is no classroom.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="[default: the classroom's, or 8777]")
@click.option("--host", help="The address to listen on.  [default: all, in a classroom; else 127.0.0.1]")
@click.option("--insecure", is_flag=True, help="Listen to others without certificates, on a network of your own.")
@click.option("--data", "data_folder", type=click.Path(path_type=Path), help="Its folder of names.")
@click.option("--peer", "peers", type=Address(), multiple=True, help="Another worker; once for each.")
@click.option("--models", type=click.Path(path_type=Path), help="Where released models go.  [default: DATA/../models]")
@click.option(
    "--policy",
    type=click.Choice(["strict", "teach", "open"]),
    default="strict",
    show_default=True,
    help="strict: answers verbs only. teach: pointers may compute on the names as well, for the notebooks. "
    "open: gives back whatever it is sent, for demonstrations, and holds no names.",
)
@click.option(
    "--min-participants",
    type=click.IntRange(2),
    help="Take part in sums over so many workers or more. With 3, no other worker can subtract its own part.  "
    "[default: the classroom's, or 2]",
)
@click.option(
    "--floor",
    type=click.IntRange(5),
    help="Tell figures over so many names or more.  [default: the classroom's, or 10]",
)
@click.option("--allow-plain", is_flag=True, help="Take part in sums that hide nothing, too. For teaching.")
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="Alike on all workers.")
@click.option("--seed", type=int, help="Orders the names, to repeat a run exactly.  [default: a new secret each time]")
@click.option(
    "--limit",
    "changed_limits",
    type=Limit(),
    multiple=True,
    help="How much of this worker a caller may take, as in frame_mb=128; see docs/security.md.  "
    "[default: the classroom's]",
)
@click.option("--audit", type=click.Path(path_type=Path), help="The audit log.  [default: audit.jsonl in --models]")
@click.option(
    "--announce/--no-announce",
    default=None,
    help="Say on the network that this worker is here.  [default: unless it listens to this machine alone]",
)
@click.option("--verbose", "-v", is_flag=True, help="Log every message.")
@click.option("--listen-fd", type=int, hidden=True)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
@click.option("--then-remove", type=click.Path(path_type=Path), hidden=True, help="A folder; if stdin closed.")
def worker(
    classroom: Path | None,
    worker_id: str | None,
    port: int | None,
    host: str | None,
    insecure: bool,
    data_folder: Path | None,
    peers: tuple,
    models: Path | None,
    policy: str,
    min_participants: int | None,
    floor: int | None,
    allow_plain: bool,
    alphabet: str,
    seed: int | None,
    changed_limits: tuple,
    audit: Path | None,
    announce: bool | None,
    verbose: bool,
    listen_fd: int | None,
    until_stdin_closes: bool,
    then_remove: Path | None,
) -> None:
    """Start a worker that holds names. They stay on it.

    \b
    Example, on alice's Pi, with her folder of the classroom:
      pisyft worker --classroom alice --data names/
    """
    need_pysyft()
    room = classroom_at(classroom) if classroom else None
    if room:
        if worker_id or peers or insecure:
            raise Problem("--classroom says who this is and who the others are: leave out --id, --peer and --insecure")
        if room.id not in room.pis:
            raise Problem(f"{classroom} is the {room.id}'s: a worker takes the folder of a Pi")
        worker_id, peers_by_id = room.id, room.peers
        own_host, own_port = room.pis[room.id]
        host = host or (own_host if _is_loopback(own_host) else "0.0.0.0")
        port = own_port if port is None else port
        min_participants = max(room.minimum, min_participants or 0)
    else:
        if not worker_id:
            raise Problem("say who this is: --classroom FOLDER, or --id ID")
        peers_by_id = by_id((*peers, (worker_id, None)))
        del peers_by_id[worker_id]
        host, min_participants = host or "127.0.0.1", min_participants or 2
        port = DEFAULT_PORT if port is None else port
        if not _is_loopback(host) and not insecure and listen_fd is None:
            raise Problem(
                f"on {host} anybody on the network could call this worker: give it --classroom (see pisyft classroom "
                "create), or say --insecure on a network of your own"
            )

    try:
        limits = (room.limits if room else Limits()).with_changes(dict(changed_limits))
    except LimitsError as error:
        raise Problem(str(error)) from error

    if (policy == "open") == (data_folder is not None):
        raise Problem(
            "the policy open keeps nothing private, so that a worker holds no names with it: leave out --data"
            if data_folder
            else "say where the names are: --data FOLDER, as pisyft data split makes them"
        )

    # The names first: a mistake there is told before PyTorch is loaded.
    from pisyft.learning.alphabet import alphabet_by_name
    from pisyft.learning.names import NamesError, WatchedFolder, keep_parts, keep_to_languages, read_parts, total

    letters = alphabet_by_name(alphabet)
    languages = room.languages if room else ()
    try:
        if languages and data_folder and data_folder.is_dir():
            keep_to_languages(data_folder, languages)
        # Before it is read: names may be added while PyTorch is loaded.
        watched = WatchedFolder(data_folder, letters) if data_folder else None
        names = read_parts(data_folder, letters, seed or 0) if data_folder else None
    except NamesError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(
            f"{data_folder} cannot be written ({error.strerror}): it needs a file for each of {', '.join(languages)}"
        ) from error

    import logging
    import os
    import shutil
    import socket
    import threading

    from pisyft.compat.lean import leave_out_what_workers_do_not_need

    leave_out_what_workers_do_not_need()
    import torch

    from pisyft.classroom import DEFAULT_FLOOR
    from pisyft.transport.server import PortInUse
    from pisyft.wording import counted
    from pisyft.worker import make_open_worker, make_worker, serve

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Products this small are slower in several threads, much slower on a busy machine.
    torch.set_num_threads(1)
    if models is None and data_folder:
        models = data_folder.parent / "models"
    audit = audit or (models / AUDIT_FILE if models else None)
    network: dict = {
        "peers": peers_by_id,
        "listener": None if listen_fd is None else socket.socket(fileno=listen_fd),
        "credentials": room.credentials if room else None,
        "limits": limits,
        "audit": AuditLog(audit) if audit else None,
    }
    try:
        if names is None or models is None or data_folder is None:
            made = make_open_worker(worker_id, host, port, **network)
        else:
            made = make_worker(
                worker_id,
                host,
                port,
                names,
                models=models,
                policy=policy,
                minimum=min_participants,
                allow_plain=allow_plain,
                alphabet=letters,
                folder=watched,
                seed=seed,
                floor=floor or (room.floor if room else DEFAULT_FLOOR),
                **network,
            )
    except NamesError as error:
        raise Problem(str(error)) from error
    except PortInUse as error:
        raise Problem(str(error.strerror)) from error
    try:
        if network["audit"]:
            network["audit"].open()
    except OSError as error:
        raise Problem(f"the audit log {audit} cannot be written ({error.strerror}): choose another --audit") from error
    if data_folder and names and not any((data_folder / "test").glob("*.txt")):
        try:
            keep_parts(data_folder, names)
        except OSError as error:
            click.echo(
                f"{data_folder} cannot be written ({error.strerror}): names added there may be held out", err=True
            )
    stdin_closed = threading.Event()
    if until_stdin_closes:

        def stop_when_stdin_closes() -> None:
            while os.read(0, 1024):
                pass
            stdin_closed.set()
            made.stop()

        threading.Thread(target=stop_when_stdin_closes, daemon=True).start()
    if insecure:
        click.echo(
            "Warning: --insecure: whoever reaches this port may call, and everything travels in the clear", err=True
        )
    held = "no names, nothing private"
    if names:
        held = f"{counted(total(names.together), 'name')} of {counted(len(names.together), 'language')}"
    click.echo(f"{worker_id} is ready on {made.host}:{made.port}: {held}")
    with announced(worker_id, made.host, made.port, policy, announce):
        serve(made)
    if then_remove and stdin_closed.is_set():
        # Whoever made the folder has died, and does not do it.
        shutil.rmtree(then_remove, ignore_errors=True)


def announced(
    worker_id: str, host: str, port: int, policy: str, wanted: bool | None
) -> contextlib.AbstractContextManager:
    """While it is entered, the worker is announced; unless it listens to this machine alone, or is not to be."""
    if wanted is False or (wanted is None and _is_loopback(host)):
        return contextlib.nullcontext()
    from pisyft.discovery import Announcement

    return contextlib.closing(Announcement(worker_id, host, port, policy))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
