"""What a worker does now, in a file beside its models: for who sits at the Pi, not for the network.

It says nothing of names or values. It is written when it changes, and not forced onto the card: after a power cut it
says nothing that is still true.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pisyft.files import write_whole

FILE = "status.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """What a worker has told.

    Attributes:
        worker: its id.
        host, port: where it listens.
        policy, alphabet: as it was started with.
        floor: over how many names a figure must be for it to tell it.
        names: its folder of names.
        pid, ticks: its process, and when this was begun as Linux counts it: another one may have the number by now.
        started: when it was ready; UTC, ISO 8601.
        doing: as `Participant.describe` tells it.
        since: when it began that.
    """

    worker: str
    host: str
    port: int
    policy: str
    alphabet: str
    floor: int
    names: str | None
    pid: int
    ticks: int | None
    started: str
    doing: str
    since: str

    @property
    def is_running(self) -> bool:
        """Whether the worker's process is there still."""
        if self.ticks is not None:
            return _ticks(self.pid) == self.ticks
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


class StatusFile:
    """Tells what a worker does. A file that cannot be written stops no worker.

    Args:
        folder: the worker's, with its models.
        facts: of `Status`, what stays: from `worker` to `names`.
    """

    def __init__(self, folder: Path, **facts: Any) -> None:
        self._folder, self._facts = folder, facts
        self._facts |= {"pid": os.getpid(), "ticks": _ticks(os.getpid()), "started": _now()}
        self._told: str | None = None
        self._lock = threading.Lock()

    def update(self, doing: Callable[[], str]) -> None:
        """Write down what the worker does, if it is something else than before."""
        with self._lock:
            now_doing = doing()
            if now_doing == self._told:
                return
            self._told = now_doing
            status = Status(**self._facts, doing=now_doing, since=_now())
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                write_whole(self._folder / FILE, json.dumps(asdict(status)).encode(), sync=False)
            except OSError as error:
                logger.warning("%s does not tell what it does: %s", status.worker, error)


def read_status(folder: Path) -> Status | None:
    """What the worker with its models in a folder has told last; None if it has told nothing that can be read.

    Raises:
        PermissionError: this user may not look.
    """
    try:
        return Status(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except PermissionError:
        raise
    except (OSError, ValueError, TypeError):
        return None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _ticks(pid: int) -> int | None:
    """When a process was begun, in clock ticks since the machine was (proc(5), field 22); None where nothing tells."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, ValueError, IndexError):
        return None
