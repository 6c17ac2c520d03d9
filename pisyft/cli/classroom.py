"""The commands about a classroom: `pisyft classroom`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote

import click

from pisyft.cli.options import DEFAULT_PORT, Address, classroom_at
from pisyft.cli.problems import Problem
from pisyft.cli.watch import watch


@click.group()
def classroom() -> None:
    """Make a classroom, install its Pis, watch it at work."""


@classroom.command(short_help="Make certificates and folders for a coordinator and its Pis.")
@click.option(
    "--pi",
    "pis",
    type=Address(DEFAULT_PORT, may_be_found=True),
    multiple=True,
    help="A Pi; once for each. With its id alone, it is found where it announces itself.",
)
@click.option(
    "--pis",
    "count",
    type=click.IntRange(2),
    help="So many Pis, called pi-1, pi-2, ... as data split calls them; each is found.",
)
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path("classroom"), show_default=True)
@click.option("--name", default="classroom", show_default=True)
@click.option("--minimum", type=click.IntRange(2), default=2, show_default=True, help="Pis that a secure sum needs.")
@click.option("--token", is_flag=True, help="The coordinator shows a token in place of a certificate.")
@click.option(
    "--language", "languages", multiple=True, help="Told apart by all Pis; once for each.  [default: as dealt]"
)
def create(
    pis: tuple, count: int | None, into: Path, name: str, minimum: int, token: bool, languages: tuple[str, ...]
) -> None:
    """Make an authority, and for each Pi and the coordinator a folder with certificate, key and classroom.toml.

    \b
    Examples:
      pisyft classroom create --pi alice=192.168.1.21 --pi bob=192.168.1.22
      pisyft classroom create --pis 10
    """
    from pisyft.classroom import ClassroomError, create

    if count and pis:
        raise Problem("name the Pis with --pi, or say how many with --pis: not both")
    by_id = dict(pis) or {f"pi-{number}": ("", DEFAULT_PORT) for number in range(1, (count or 0) + 1)}
    if len(by_id) < len(pis):
        raise Problem("a Pi is named twice: every Pi has its own id")
    try:
        made = create(into, by_id, name, minimum, token=token, languages=languages)
    except ClassroomError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"cannot write {error.filename or into}: {error.strerror}") from error
    for pi in by_id:
        click.echo(
            f"{made[pi].parent}: copy this folder to {pi}, and there: pisyft worker --classroom {pi} --data names/"
        )
    click.echo(f"All at once, over ssh: pisyft classroom install {quote(str(into))} --names dealt")
    own = made["coordinator"].parent
    click.echo(f"{own}: stays here: pisyft train --classroom {quote(str(own))}")
    click.echo(f"{into / 'authority'}: signs certificates. Keep it where nobody else can read it.")


@classroom.command(short_help="Fill a folder with packages, for a room without internet.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path("wheelhouse"), show_default=True)
@click.option("--python", "pythons", multiple=True, help="Of the Pis; once for each.  [default: 3.11, 3.13]")
def pack(into: Path, pythons: tuple[str, ...]) -> None:
    """Fill a folder with all packages that Pis need, for a room without internet.

    \b
    Example, on the laptop, at home:
      pisyft classroom pack --into wheelhouse
    """
    from pisyft.installation import PYTHONS, InstallationError, pack

    try:
        pack(into, pythons or PYTHONS, click.echo)
    except InstallationError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"cannot write {error.filename or into}: {error.strerror}") from error
    size = sum(file.stat().st_size for file in into.glob("*.whl"))
    click.echo(
        f"{into}: {size / 1e6:.0f} MB. On a Pi: sudo workers/install.sh --wheelhouse {quote(into.name)} --classroom ..."
    )


@classroom.command(short_help="Install PiSyft and the worker on all Pis, over ssh.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("classroom"))
@click.option("--pi", "only", multiple=True, help="Only this one, by its id; once for each.  [default: all]")
@click.option("--user", default="pi", show_default=True, help="Who logs in there, and may use sudo.")
@click.option("--names", type=click.Path(path_type=Path, file_okay=False), help="With a folder for each Pi.")
@click.option("--wheelhouse", type=click.Path(path_type=Path, file_okay=False), help="See pack.")
@click.option("--options", default="", help="Of the workers, as in '--policy teach'.")
@click.option("--at-once", type=click.IntRange(1), default=5, show_default=True, help="So many Pis at the same time.")
@click.option("--uninstall", is_flag=True, help="Remove everything there, names and models, too.")
def install(
    folder: Path,
    only: tuple[str, ...],
    user: str,
    names: Path | None,
    wheelhouse: Path | None,
    options: str,
    at_once: int,
    uninstall: bool,
) -> None:
    """Install PiSyft and the worker on all Pis of a classroom, over ssh. Again is quick.

    FOLDER is what `pisyft classroom create` made. Exit status: 0 if all Pis are set up, 1 if one is not.

    \b
    Examples:
      pisyft classroom install classroom --names dealt
      pisyft classroom install classroom --wheelhouse wheelhouse --user workshop
    """
    import sys
    import tempfile

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from pisyft.installation import InstallationError, Installer, Pi, build_wheel, project_folder

    room = classroom_at(folder / "coordinator")
    if unknown := set(only) - set(room.pis):
        raise Problem(f"there is no {', '.join(sorted(unknown))} in {folder}, only {', '.join(room.pis)}")
    if wheelhouse and not wheelhouse.is_dir():
        raise Problem(f"there is no folder {wheelhouse}: pisyft classroom pack fills one")
    if "'" in options:
        raise Problem("--options: leave out quotes")
    pis = []
    for pi, (host, _) in room.pis.items():
        if only and pi not in only:
            continue
        own = next((path for path in (names / pi / "names", names / pi) if path.is_dir()), None) if names else None
        if names and own is None:
            raise Problem(f"there is no folder {names / pi}: pisyft data split makes one for each Pi")
        # Before it has PiSyft it announces nothing but its host name.
        pis.append(Pi(pi, host or f"{pi}.local", user, folder / pi, own))
    failed: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory() as work,
        Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[pi]:<12} {task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(highlight=False),
        ) as progress,
    ):
        try:
            installer = Installer(build_wheel(project_folder(), Path(work)), wheelhouse, options)
        except InstallationError as error:
            raise Problem(str(error)) from error
        tasks = {pi.id: progress.add_task("waiting", pi=pi.id, total=1) for pi in pis}

        def set_up(pi: Pi) -> None:
            task = tasks[pi.id]
            try:
                step = installer.uninstall if uninstall else installer.install
                step(pi, lambda line: progress.update(task, description=line))
                progress.update(task, description="removed" if uninstall else "installed", completed=1)
            except InstallationError as error:
                failed[pi.id] = str(error)
                progress.update(task, description="FAILED", completed=1)

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(set_up, pis))
    for pi_id, reason in failed.items():
        click.echo(f"{pi_id}: {reason}", err=True)
    click.echo(f"{len(pis) - len(failed)} of {len(pis)} Pis {'are free of PiSyft' if uninstall else 'are set up'}")
    sys.exit(1 if failed else 0)


classroom.add_command(watch)
