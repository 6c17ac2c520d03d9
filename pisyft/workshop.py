"""The first line of every notebook: the Pis of a classroom or, where there are none, workers on this machine."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import syft
import torch

from pisyft.classroom import CONFIGURATION, Classroom
from pisyft.credentials import Credentials
from pisyft.lab import Lab

# A notebook's environment says where the classroom is, so that no notebook need be changed for it.
_CLASSROOM = "PISYFT_CLASSROOM"
# The names that come with the project; where only the package is installed, there are none.
NAMES = Path(__file__).parents[1] / "data" / "names"

# The room that is open: a cell that is run again closes it first, since ids are taken once in a process.
_open: Workshop | None = None


@dataclass
class Traffic:
    """What went between this machine and the workers.

    Attributes:
        sent, received: bytes, in frames.
        waited: how many answers were waited for.
    """

    sent: int = 0
    received: int = 0
    waited: int = 0

    def __str__(self) -> str:
        return f"{self.sent:,} bytes sent, {self.received:,} bytes received, answers waited for: {self.waited}"


class Workshop:
    """A classroom that a notebook has opened: `workers` are connected when they are first asked for.

    Attributes:
        classroom: who takes part, and the coordinator's credentials.
        lab: the workers' processes, if they are on this machine.
    """

    def __init__(self, classroom: Classroom, lab: Lab | None = None) -> None:
        self.classroom, self.lab = classroom, lab

    @property
    def pis(self) -> Mapping[str, tuple[str, int]]:
        """Where each Pi listens, `(host, port)`, by id."""
        return self.classroom.pis

    @property
    def credentials(self) -> Credentials:
        """The coordinator's certificate and key."""
        return self.classroom.credentials

    @functools.cached_property
    def workers(self) -> list:
        """All Pis as PySyft workers, in the order of the classroom.

        Raises:
            TransportError: one of them cannot be reached.
        """
        # PySyft warns of a second hook in one process.
        return self.classroom.connect(syft.hook if hasattr(torch, "torch_hooked") else syft.TorchHook(torch))

    @contextmanager
    def traffic(self, workers: Sequence | None = None) -> Iterator[Traffic]:
        """Count what goes between this machine and the workers in a `with`, which ends when everything has gone.

        Args:
            workers: connections that somebody else has made; `self.workers` by default.
        """
        counted, counting = Traffic(), self.workers if workers is None else workers
        before = _traffic(counting)
        yield counted
        after = _traffic(counting)
        counted.sent = after.sent - before.sent
        counted.received = after.received - before.received
        counted.waited = after.waited - before.waited

    def unplug(self, worker: str) -> None:
        """Have a Pi vanish: kill it, if it is on this machine; ask for its plug to be pulled, if it is a real one."""
        if self.lab:
            self.lab.kill(worker)
        else:
            print(f"Pull the plug of {worker} now.")

    def close(self) -> None:
        """Close the connections, and stop the workers that are on this machine. Safe to call twice."""
        for worker in self.__dict__.pop("workers", []):
            worker.close()
        if self.lab:
            self.lab.stop()

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "a lab on this machine" if self.lab else f"the classroom {self.classroom.name!r}"
        pis = (f"  {pi} on {host}:{port}" for pi, (host, port) in self.pis.items())
        return "\n".join((f"{where}, with {len(self.pis)} workers:", *pis))


def open_classroom(
    classroom: str | Path | None = None,
    lab: Sequence[str] = ("alice", "bob"),
    policy: str = "teach",
    pis: bool = True,
    **options,
) -> Workshop:
    """Open a classroom for a notebook.

        room = open_classroom()                             # a lab: workers on this machine
        room = open_classroom("../classroom/coordinator")   # the Pis of a classroom

    A room that was open is closed first.

    Args:
        classroom: the coordinator's `classroom.toml`, or its folder. Without it, the one that the environment variable
            PISYFT_CLASSROOM names; without that, a lab.
        lab: the ids of the lab's workers.
        policy: of the lab's workers; a Pi's owner chooses its own.
        pis: False starts a lab also where PISYFT_CLASSROOM names a classroom: to show what Pis are not set up for.
        options: of the lab; see `Lab`.

    Raises:
        ClassroomError: the classroom file cannot be used.
        LabError: a worker did not start. Nothing is left running then.
    """
    global _open
    if _open is not None:
        _open.close()
    file = classroom or (os.environ.get(_CLASSROOM) if pis else None)
    if file:
        path = Path(file)
        _open = Workshop(Classroom.load(path / CONFIGURATION if path.is_dir() else path))
    else:
        started = Lab(options.pop("names", NAMES), lab, policy=policy, certificates=True, **options)
        started.start()
        assert started.classroom is not None
        _open = Workshop(started.classroom, started)
    return _open


def _traffic(workers: Sequence) -> Traffic:
    for worker in workers:
        worker.flush()
    return Traffic(
        sum(worker.bytes_sent for worker in workers),
        sum(worker.bytes_received for worker in workers),
        sum(worker.answers_waited_for for worker in workers),
    )


@atexit.register
def _close_what_is_open() -> None:
    if _open is not None:
        _open.close()
