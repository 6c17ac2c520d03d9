"""`pisyft classroom watch`: the classroom page."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from pisyft.cli.options import by_id, classroom_at, classroom_option, names_option, need_pysyft, workers_option
from pisyft.cli.problems import Problem

if TYPE_CHECKING:
    import subprocess

    from pisyft.lab import Lab

DEFAULT_PORT = 8778
_RUN = Path("artifacts/train")


@click.command(short_help="Show the classroom in a browser, live.")
@classroom_option
@workers_option
@click.option("--lab", is_flag=True, help="Start a lab on this machine, and train with it once the page is open.")
@click.option("--workers", "size", type=click.IntRange(2, 20), default=3, show_default=True, help="Of --lab.")
@names_option("The names that --lab deals out.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="That --lab trains.")
@click.option(
    "--aggregation",
    type=click.Choice(["additive", "masks"]),
    default="additive",
    show_default=True,
    help="How --lab adds up what the workers have learned.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that pisyft train writes to (its --out).  [default: artifacts/train; with --lab a temporary one]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 shows the page to the whole network.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: a free one.")
@click.option(
    "--token",
    envvar="PISYFT_PAGE_TOKEN",
    help="What a viewer must have; also from PISYFT_PAGE_TOKEN.  [default: none here, a new one on the network]",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
def watch(
    classroom: Path | None,
    workers: tuple,
    lab: bool,
    size: int,
    names: Path,
    rounds: int,
    aggregation: str,
    run: Path | None,
    host: str,
    port: int,
    token: str | None,
    open_browser: bool,
) -> None:
    """Show the classroom in a browser: every Pi, the round in progress, what the model learns.

    Only this machine can open the page, unless --host says otherwise; then it asks for a token. It travels over plain
    HTTP, and tells nothing but what the coordinator may know.

    \b
    Examples:
      pisyft classroom watch --lab --open
      pisyft classroom watch --classroom classroom/coordinator --run artifacts/train
      pisyft classroom watch --classroom classroom/coordinator --host 0.0.0.0
    """
    need_pysyft()
    addresses = by_id(workers)
    if lab + bool(addresses) + bool(classroom) != 1:
        raise Problem("say whom to watch: --classroom FOLDER, --worker ID=HOST:PORT, or --lab, which starts its own")
    room = classroom_at(classroom) if classroom else None
    if room:
        if room.id in room.pis:
            raise Problem(f"{classroom} is {room.id}'s: to watch takes the coordinator's folder")
        addresses = dict(room.pis)
    try:
        from pisyft.page.app import Door, is_loopback, listen, make_server, new_token
    except ImportError as error:
        raise Problem(f"the page needs {error.name}: in PiSyft's folder, pip install -e '.[page]'") from error

    from contextlib import ExitStack, suppress

    from pisyft.cli.lab import end_once, worker_ids
    from pisyft.events import FILE
    from pisyft.lab import Lab, LabError
    from pisyft.page.sections import Sections

    if token is None and not is_loopback(host):
        token = new_token()
    try:
        door = Door(token)
    except ValueError as error:
        raise Problem(str(error)) from error
    try:
        listener = listen(host, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error  # asyncio's own text says the address once more
        raise Problem(f"cannot listen on {host}:{port} ({why}): choose another --port") from error
    end_once()
    is_kept = run is not None
    url = _url(host, listener.getsockname()[1], token)
    with ExitStack() as until_stopped:
        until_stopped.callback(listener.close)
        try:
            sections = Sections()
            training = None
            if lab:
                ids = worker_ids(size)
                click.echo(f"Starting {', '.join(ids)}, each with names of its own ...")
                opened = until_stopped.enter_context(Lab(names, ids, policy="strict", certificates=True))
                room, classroom = opened.classroom, opened.folder / "classroom" / "coordinator"
                assert room is not None
                addresses = opened.addresses
                run = run or opened.folder / "run"
                (run / FILE).unlink(missing_ok=True)  # of an earlier lab, whose workers are gone
                training = until_stopped.enter_context(Training(opened, run, rounds, aggregation))
        except LabError as error:
            raise Problem(str(error)) from error

        from pisyft.page.watch import Watch

        run = run or _RUN
        credentials = room.credentials if room else None
        name = room.name if room else "classroom"
        hint = _command(classroom, workers, run)
        until_stopped.enter_context(Watch(sections, name, addresses, run, credentials, hint, begins=lab))
        with suppress(KeyboardInterrupt):  # also right after it was told what that does
            click.echo(f"{url}  (Ctrl-C ends it)")
            if training:
                click.echo("Training begins when somebody opens the page.")
                if not is_kept:
                    click.echo("Ctrl-C removes the lab and what it has trained: --run FOLDER keeps that.")
            if open_browser:
                import webbrowser

                webbrowser.open(url)
            make_server(sections, door, training.begin if training else lambda: None).run(sockets=[listener])


class Training:
    """`pisyft train` with a lab's workers, as a process of its own, once it is begun.

    Args:
        lab: open.
        out: where the run is written to.
    """

    def __init__(self, lab: Lab, out: Path, rounds: int, aggregation: str) -> None:
        import sys

        self._command = [
            *(sys.executable, "-m", "pisyft", "train", "--classroom", str(lab.folder / "classroom" / "coordinator")),
            *("--out", str(out), "--rounds", str(rounds), "--aggregation", aggregation, "--alone"),
        ]
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Training:
        return self

    def begin(self) -> None:
        """Begin, the first time that this is called."""
        import subprocess

        if self._process is None:
            # A session of its own: Ctrl-C is for this process, which then ends that one.
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def __exit__(self, *exception: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def _command(classroom: Path | None, workers: tuple, run: Path) -> str:
    """What to type to train with those that are watched."""
    whom = (
        f"--classroom {quote(str(classroom))}"
        if classroom
        else " ".join(f"--worker {id_}={host}:{port}" for id_, (host, port) in workers)
    )
    return f"{_program()} train {whom}" + ("" if run == _RUN else f" --out {quote(str(run))}")


def _program() -> str:
    """What to type for `pisyft`, as it was typed for this command."""
    import shutil
    import sys

    typed = sys.argv[0]
    return typed if Path(typed).name == "pisyft" and typed != shutil.which("pisyft") else "pisyft"


def _url(host: str, port: int, token: str | None) -> str:
    """Where the page is. The token comes after a #, which browsers keep to themselves."""
    shown = {"0.0.0.0": own_address(), "::": "localhost"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/" + (f"#{token}" if token else "")


def own_address() -> str:
    """This machine's address in its network; sends nothing."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation: nobody has it
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]
