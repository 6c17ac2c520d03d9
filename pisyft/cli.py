"""The `pisyft` command. Imports what a subcommand needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import pisyft
from pisyft.addresses import Address
from pisyft.cli_classroom import classroom
from pisyft.cli_data import ALPHABETS, data, names
from pisyft.cli_models import models_option, predict, release, released_folder, runs
from pisyft.compat import requirements
from pisyft.problems import Problem

if TYPE_CHECKING:
    from pisyft.classroom import Classroom


def _by_id(addresses: tuple) -> dict[str, tuple[str, int]]:
    by_id = dict(addresses)
    if len(by_id) < len(addresses):
        ids = [worker for worker, _ in addresses]
        twice = next(worker for worker in ids if ids.count(worker) > 1)
        raise Problem(f"the id {twice!r} is used twice: every worker has its own")
    if "me" in by_id:
        raise Problem("the id 'me' is PySyft's name for the coordinator: choose another")
    return by_id


def _classroom(path: Path) -> Classroom:
    from pisyft.classroom import CONFIGURATION, Classroom, ClassroomError
    from pisyft.credentials import CredentialsError

    try:
        return Classroom.load(path / CONFIGURATION if path.is_dir() else path)
    except (ClassroomError, CredentialsError) as error:
        raise Problem(str(error)) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _need_pysyft() -> None:
    if text := requirements.problem():
        raise Problem(text)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pisyft.__version__, prog_name="pisyft")
def main() -> None:
    """Federated learning of a recurrent neural network on Raspberry Pis.

    \b
    pisyft setup                                  install PySyft 0.2.9 into this environment
    pisyft data split data/names --into classroom --worker alice --worker bob
    pisyft train --lab                            on a laptop, with two local workers
    pisyft classroom create --pi alice=HOST --pi bob=HOST
    pisyft worker --classroom alice --data names/  on each Pi
    pisyft train --classroom classroom/coordinator
    pisyft predict Qing Gadler                    with the model that was released
    """


@main.command()
def setup() -> None:
    """Install PySyft 0.2.9, without its dependencies of 2020, into the environment that runs this."""
    if requirements.problem() is None:
        click.echo(f"PySyft {requirements.PYSYFT} is installed.")
        return
    # One requirement in PySyft's metadata is misspelt ("<0.6.0!=0.5.7"), and pip 24.1 and later refuse the package for
    # it; with --no-deps, the older resolver does not look at requirements.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command.append("--use-deprecated=legacy-resolver")
    if subprocess.run([*command, *requirements.WITHOUT_DEPENDENCIES]).returncode:
        raise Problem(
            f"pip could not install {' and '.join(requirements.WITHOUT_DEPENDENCIES)}: its message is above. "
            "Check the network, and that this environment has pip."
        )
    if text := requirements.problem():
        raise Problem(text)
    click.echo(f"PySyft {requirements.PYSYFT} is installed.")


for command in (classroom, data, names, predict, release, runs):
    main.add_command(command)


@main.command()
@click.option(
    "--classroom",
    type=click.Path(path_type=Path),
    help="The Pi's folder of a classroom, or the classroom.toml in it: its id, certificate and peers.",
)
@click.option("--id", "worker_id", help="The worker's id, by which others know it, where there is no classroom.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="[default: the classroom's, or 8777]")
@click.option("--host", help="The address to listen on.  [default: all, in a classroom; else 127.0.0.1]")
@click.option("--insecure", is_flag=True, help="Listen to others without certificates, on a network of your own.")
@click.option("--data", "data_folder", type=click.Path(path_type=Path), required=True, help="Its folder of names.")
@click.option("--peer", "peers", type=Address(), multiple=True, help="Another worker; once for each.")
@click.option("--models", type=click.Path(path_type=Path), help="Where released models go.  [default: DATA/../models]")
@click.option(
    "--policy",
    type=click.Choice(["strict", "teach"]),
    default="strict",
    show_default=True,
    help="strict: answers verbs only. teach: pointers may compute on the names as well, for the notebooks.",
)
@click.option(
    "--min-participants",
    type=click.IntRange(2),
    help="Take part in sums over so many workers or more. With 3, no other worker can subtract its own part.  "
    "[default: the classroom's, or 2]",
)
@click.option("--allow-plain", is_flag=True, help="Take part in sums that hide nothing, too. For teaching.")
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="Alike on all workers.")
@click.option("--seed", type=int, help="Orders the names, to repeat a run exactly.  [default: a new secret each time]")
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
    data_folder: Path,
    peers: tuple,
    models: Path | None,
    policy: str,
    min_participants: int | None,
    allow_plain: bool,
    alphabet: str,
    seed: int | None,
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
    _need_pysyft()
    room = _classroom(classroom) if classroom else None
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
        peers_by_id = _by_id((*peers, (worker_id, None)))
        del peers_by_id[worker_id]
        host, port, min_participants = host or "127.0.0.1", 8777 if port is None else port, min_participants or 2
        if not _is_loopback(host) and not insecure and listen_fd is None:
            raise Problem(
                f"on {host} anybody on the network could call this worker: give it --classroom (see pisyft classroom "
                "create), or say --insecure on a network of your own"
            )

    # The names first: a mistake there is told before PyTorch is loaded.
    from pisyft.learning.alphabet import alphabet_by_name
    from pisyft.learning.names import NamesError, WatchedFolder, keep_parts, read_parts, total

    letters = alphabet_by_name(alphabet)
    try:
        names = read_parts(data_folder, letters, seed or 0)
    except NamesError as error:
        raise Problem(str(error)) from error

    import logging
    import os
    import shutil
    import socket
    import threading

    from pisyft.compat.lean import leave_out_what_workers_do_not_need

    leave_out_what_workers_do_not_need()
    import torch

    from pisyft.transport.server import PortInUse
    from pisyft.worker import make_worker, serve

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Products this small are slower in several threads, much slower on a busy machine.
    torch.set_num_threads(1)
    try:
        made = make_worker(
            worker_id,
            host,
            port,
            names,
            peers=peers_by_id,
            models=models or data_folder.parent / "models",
            policy=policy,
            minimum=min_participants,
            allow_plain=allow_plain,
            alphabet=letters,
            folder=WatchedFolder(data_folder, letters),
            seed=seed,
            listener=None if listen_fd is None else socket.socket(fileno=listen_fd),
            credentials=room.credentials if room else None,
        )
    except (NamesError, PortInUse) as error:
        raise Problem(str(error)) from error
    if not (data_folder / "test").exists():
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
    held = names.together
    click.echo(f"{worker_id} is ready on {made.host}:{made.port}: {total(held)} names of {len(held)} languages")
    serve(made)
    if then_remove and stdin_closed.is_set():
        # Whoever made the folder has died, and does not do it.
        shutil.rmtree(then_remove, ignore_errors=True)


@main.command()
@click.option("--lab", is_flag=True, help="Start two local workers, alice and bob, for this run.")
@click.option(
    "--classroom",
    type=click.Path(path_type=Path),
    help="The coordinator's folder of a classroom: all its Pis take part.",
)
@click.option(
    "--worker", "workers", type=Address(), multiple=True, help="A worker without certificates; once for each."
)
@click.option(
    "--names",
    type=click.Path(path_type=Path),
    default=Path("data/names"),
    show_default=True,
    help="The names that --lab deals out.",
)
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="Of the workers of --lab.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True)
@click.option(
    "--good-enough",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    metavar="ACCURACY",
    help="Release the model if it is this accurate on every worker.",
)
@click.option(
    "--good-enough-together",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="ACCURACY",
    help="... and this accurate over all workers together.",
)
@click.option(
    "--min-rounds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="... and has been trained for so many rounds.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    metavar="ACCURACY",
    help="Release it if no worker is worse off by more than this than with the model that it has.",
)
@click.option("--model", default="tutorial", show_default=True, help="The network's name.")
@click.option("--strategy", default="fedavg", show_default=True, help="What becomes of the workers' models.")
@click.option(
    "--aggregation",
    type=click.Choice(["additive", "masks", "plain"]),
    default="additive",
    show_default=True,
    help="How what the workers have learned is added up. masks: workers may vanish. plain: hides nothing.",
)
@click.option("--optimizer", default="sgd", show_default=True, help="On the workers.")
@click.option(
    "--passes",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Over a worker's names in each round.",
)
@click.option("--alone", is_flag=True, help="Every worker trains a model alone as well, to see what it gains.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out after its last complete round.")
@click.option("--seed", default=0, show_default=True, help="The same seed comes to the same model.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("artifacts/train"), show_default=True
)
def train(
    lab: bool,
    classroom: Path | None,
    workers: tuple,
    names: Path,
    alphabet: str,
    rounds: int,
    batch_size: int,
    learning_rate: float,
    good_enough: float,
    good_enough_together: float,
    min_rounds: int,
    margin: float,
    model: str,
    strategy: str,
    aggregation: str,
    optimizer: str,
    passes: float,
    alone: bool,
    resume: bool,
    seed: int,
    out: Path,
) -> None:
    """Train one model with several workers, and release it to them if it is good enough.

    \b
    Examples:
      pisyft train --lab
      pisyft train --classroom classroom/coordinator
      pisyft train --classroom classroom/coordinator --model gru --optimizer adamw --learning-rate 0.003
    """
    _need_pysyft()
    addresses = _by_id(workers)
    if lab + bool(addresses) + bool(classroom) > 1:
        raise Problem("take one: --lab, which starts its own workers, --classroom or --worker")
    room = _classroom(classroom) if classroom else None
    if room:
        if room.id in room.pis:
            raise Problem(f"{classroom} is {room.id}'s: to train takes the coordinator's folder")
        addresses = dict(room.pis)
    if not lab and len(addresses) < 2:
        raise Problem("say with whom: --classroom FOLDER, --worker ID=HOST:PORT twice or more, or --lab")

    import warnings

    import torch
    from syft.exceptions import GetNotPermittedError

    from pisyft import run
    from pisyft.aggregation.errors import AggregationError
    from pisyft.aggregation.plain import PlainAggregation
    from pisyft.checkpoints import CheckpointError
    from pisyft.federation import FederationError
    from pisyft.lab import LabError
    from pisyft.learning.names import NamesError
    from pisyft.learning.training import Diverged
    from pisyft.release import ReleaseError
    from pisyft.transport.errors import TransportError, UnknownPeer

    warnings.simplefilter("always", PlainAggregation)
    torch.set_num_threads(1)
    try:
        settings = run.Settings(
            rounds,
            batch_size,
            learning_rate,
            good_enough,
            seed,
            model=model,
            strategy=strategy,
            aggregation=aggregation,
            optimizer=optimizer,
            passes=passes,
            margin=margin,
            good_enough_together=good_enough_together,
            min_rounds=min_rounds,
        )
    except ValueError as error:
        raise Problem(str(error)) from error
    try:
        if lab:
            run.train_in_a_lab(names, settings, out, resume=resume, alphabet=alphabet)
        else:
            credentials = room.credentials if room else None
            run.train(addresses, settings, out, credentials=credentials, alone=alone, resume=resume)
    except (AggregationError, CheckpointError, Diverged, FederationError, GetNotPermittedError, LabError) as error:
        raise Problem(str(error)) from error
    except (NamesError, ReleaseError, run.RunStopped, TransportError, UnknownPeer) as error:
        raise Problem(str(error)) from error


@release.command()
@click.option("--classroom", type=click.Path(path_type=Path), help="The coordinator's folder of the classroom.")
@click.option("--worker", "workers", type=Address(), multiple=True, help="A worker to visit; once for each.")
@models_option
def deliver(classroom: Path | None, workers: tuple, models: Path | None) -> None:
    """Bring the released model to workers that were away, as the next `pisyft train` does, too.

    \b
    Example, on the coordinator's laptop:
      pisyft release deliver --classroom classroom/coordinator
    """
    _need_pysyft()
    room = _classroom(classroom) if classroom else None
    addresses = dict(room.pis) if room else _by_id(workers)
    store_folder = released_folder(models)

    import syft
    import torch

    from pisyft.release import ModelStore, Pending, ReleaseError, coordinator_key
    from pisyft.rollout import deliver as bring
    from pisyft.transport import WebsocketClientWorker
    from pisyft.transport.errors import TransportError

    store = ModelStore(store_folder)
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
            click.echo(f"{worker} {'has' if delivered else 'still lacks'} version {version}")
    except ReleaseError as error:
        raise Problem(str(error)) from error
    if left := Pending(store).versions():
        raise Problem(f"not delivered to {', '.join(left)}")
    click.echo("Every worker has the release.")
