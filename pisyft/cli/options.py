"""Options that several commands have, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pisyft.cli.problems import Problem
from pisyft.compat import requirements

if TYPE_CHECKING:
    from pisyft.classroom import Classroom

ALPHABETS = click.Choice(["tutorial", "unicode"])  # as in pisyft.learning.alphabet, which --help does not wait for
DEFAULT_PORT = 8777  # as in pisyft.classroom, for the same reason
# Where a model may have been released to, from here: on a Pi, and on a laptop.
PLACES = (Path("models"), Path("artifacts/train/models"), Path("artifacts/demo/models"))
NAMES = Path("data/names")  # that come with the project
STATE = Path("/var/lib/pisyft")  # of the service: a folder for each worker of a Pi

classroom_option: Callable = click.option(
    "--classroom", type=click.Path(path_type=Path), help="The coordinator's folder of the classroom."
)
models_option: Callable = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The folder with released models.  [default: the first of {', '.join(map(str, PLACES))}, and {STATE}]",
)


workers_models_option: Callable = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The worker's folder of models.  [default: models, or the one in {STATE}/*]",
)


class Address(click.ParamType):
    """`ID=HOST:PORT`, as a tuple `(id, (host, port))`; IPv6 addresses in brackets.

    Args:
        default_port: for addresses without one; None asks for one.
        may_be_found: an id alone is enough: the host is then "", to be found by mDNS.
    """

    def __init__(self, default_port: int | None = None, may_be_found: bool = False) -> None:
        self.name = "ID=HOST:PORT" if default_port is None else "ID=HOST[:PORT]"
        self._default_port, self._may_be_found = default_port, may_be_found

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        worker, equals, address = value.partition("=")
        if worker and not equals and self._may_be_found:
            return worker, ("", self._default_port)
        bracketed = address.startswith("[")
        host, end, port = address[1:].partition("]") if bracketed else address.partition(":")
        port = port.removeprefix(":") if bracketed else port
        if not port and self._default_port is not None and not address.endswith(":"):
            port = str(self._default_port)
        if not (worker and equals and host and (end or not bracketed) and port.isdigit() and 0 < int(port) < 65536):
            self.fail(f"{value!r} is not {self.name}, as in bob=192.168.1.22:8777", param, ctx)
        return worker, (host, int(port))


class Finite(click.FloatRange):
    """A number in a range. Infinity is none, nor is nan, which is neither below nor above anything."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class Limit(click.ParamType):
    """`NAME=NUMBER`, as a tuple."""

    name = "NAME=NUMBER"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        name, _, number = value.partition("=")
        if not (name and number.isdigit()):
            self.fail(f"{value!r} is not NAME=NUMBER, as in frame_mb=128", param, ctx)
        return name, int(number)


workers_option: Callable = click.option(
    "--worker", "workers", type=Address(), multiple=True, help="A worker without certificates; once for each."
)


def names_option(what: str) -> Callable:
    """The folder of names that a lab deals out.

    Args:
        what: is said of it in the help.
    """
    return click.option(
        "--names",
        type=click.Path(path_type=Path),
        default=NAMES,
        show_default=True,
        callback=lambda context, option, given: _names_that_come_along(given),
        help=what,
    )


def _names_that_come_along(given: Path) -> Path:
    """The project's own names where nothing else was given, whichever folder the command is typed in."""
    own = Path(__file__).parents[2] / NAMES
    return own if given == NAMES and not given.exists() and own.is_dir() else given


def by_id(addresses: tuple) -> dict[str, tuple[str, int]]:
    """Addresses by the id of their worker.

    Raises:
        Problem: two have the same id, or one has an id that PySyft needs.
    """
    found = dict(addresses)
    if len(found) < len(addresses):
        ids = [worker for worker, _ in addresses]
        twice = next(worker for worker in ids if ids.count(worker) > 1)
        raise Problem(f"the id {twice!r} is used twice: every worker has its own")
    if "me" in found:
        raise Problem("the id 'me' is PySyft's name for the coordinator: choose another")
    return found


def classroom_at(path: Path) -> Classroom:
    """The classroom of a `classroom.toml`, or of the folder that one is in.

    Raises:
        Problem: it cannot be used.
    """
    from pisyft.classroom import CONFIGURATION, Classroom, ClassroomError
    from pisyft.credentials import CredentialsError

    try:
        return Classroom.load(path / CONFIGURATION if path.is_dir() else path)
    except (ClassroomError, CredentialsError) as error:
        raise Problem(str(error)) from error


def need_pysyft() -> None:
    """Make sure that PySyft is there, before anything that imports it.

    Raises:
        Problem: it is not.
    """
    if text := requirements.problem():
        raise Problem(text)


def installed(kind: str) -> list[Path]:
    """The folders of the workers that are installed on this Pi.

    Args:
        kind: "names" or "models".

    Raises:
        Problem: this user may not look.
    """
    try:
        return sorted(each / kind for each in STATE.iterdir() if (each / kind).is_dir())
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise Problem(f"only the group pisyft may look into {STATE}: put sudo before it, or log in again") from error


def own_folder(given: Path | None, kind: str, option: str) -> Path:
    """A worker's folder: the one that was given, the one that is here, or the one of the worker on this Pi.

    Args:
        kind: "names" or "models".
        option: by which it is given.

    Raises:
        Problem: there is none, or which one is not clear.
    """
    folder = given or Path(kind)
    if folder.is_dir():
        return folder
    if given:
        raise Problem(f"there is no folder {given}: say where the worker has its {kind} with {option} DIR")
    folders = installed(kind)
    if not folders:
        raise Problem(f"there is no folder {kind} here, and no worker in {STATE}: say where with {option} DIR")
    if len(folders) > 1:
        ids = ", ".join(folder.parent.name for folder in folders)
        raise Problem(f"this Pi has several workers ({ids}): say which, as in {option} {folders[0]}")
    return folders[0]


def not_done(what: str, error: OSError) -> Problem:
    """What the system did not let this user do, as in "write to models"."""
    mend = ": it is the worker's, so put sudo before the command" if isinstance(error, PermissionError) else ""
    return Problem(f"cannot {what}: {error.strerror}{mend}")


def released_folder(models: Path | None) -> Path:
    """The folder with released models.

    Raises:
        Problem: there is none.
    """
    if models is None:
        models = next((place for place in PLACES if (place / "current").exists()), None)
        models = models or next((place for place in installed("models") if (place / "current").exists()), None)
    if models is None:
        raise Problem(
            f"there is no released model in {', '.join(map(str, PLACES))} or {STATE}: say where with --models DIR, "
            "or make one with pisyft train"
        )
    return models
