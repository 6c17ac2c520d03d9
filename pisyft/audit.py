"""The audit log of a worker: who asked for what, what was decided by which rule, and how many bytes left.

JSON lines in a file that only its owner reads. They say nothing of names, labels or the values of tensors. What is
asked for again and again is written down the first time, and then in one line for all of ten seconds: training by
pointer asks for thousands of things a second.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from pathlib import Path

logger = logging.getLogger(__name__)

FILE = "audit.jsonl"
DONE, REFUSED, FAILED = DECISIONS = ("done", "refused", "failed")

_FILE_BYTES, _FILES = 2**20, 10
_RUN_SECONDS = 10.0
_MAX_RUNS = 1000


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes:
        time: when it was asked for, at first; UTC, ISO 8601.
        who: the id of who asked; "-" if it did not get as far as that.
        role: "coordinator", "peer", or "-".
        address: where it called from.
        what: a verb; "pointer: " and an operation; "connect".
        times: how often.
        received, sent: bytes, without what TLS and the websocket add.
        decision: "done", "refused" or "failed".
        rule: by which it was refused; see `refusals.RULES`.
    """

    time: str
    who: str
    role: str
    address: str
    what: str
    times: int
    received: int
    sent: int
    decision: str
    rule: str | None = None


class _Run:
    """The same thing, asked for again and again."""

    def __init__(self) -> None:
        self.times, self.received, self.sent, self.since = 0, 0, 0, 0.0


class AuditLog:
    """Writes a worker's audit log. Its methods may be called in any thread.

    Args:
        path: the file. The folder is made if it is not there. At a megabyte the file becomes `path`.1, and so on up to
            `path`.9.
    """

    def __init__(self, path: Path) -> None:
        self._file = _PrivateFile(path, maxBytes=_FILE_BYTES, backupCount=_FILES - 1, encoding="utf-8", delay=True)
        self._lock = threading.Lock()
        self._runs: dict[tuple, _Run] = {}
        self._settled = time.monotonic()

    def open(self) -> None:
        """Open the file already now, before there is something to write.

        Raises:
            OSError: it cannot be written.
        """
        path = Path(self._file.baseFilename)
        if path.exists() and not path.is_file():  # and a device's mode is not to be changed
            raise OSError(errno.EINVAL, "it is no file")
        if self._file.stream is None:
            self._file.stream = self._file._open()

    def record(
        self,
        who: object,
        role: str,
        address: str,
        what: str,
        received: int = 0,
        sent: int = 0,
        decision: str = DONE,
        rule: str | None = None,
    ) -> None:
        """Take down one request."""
        key = (who, role, address, what, decision, rule)
        now = time.monotonic()
        with self._lock:
            run = self._runs.get(key)
            if run is None:
                self._runs[key] = _Run()
                self._write(key, time.time(), 1, received, sent)
            else:
                if not run.times:
                    run.since = time.time()
                run.times += 1
                run.received += received
                run.sent += sent
            if now - self._settled > _RUN_SECONDS or len(self._runs) > _MAX_RUNS:
                self._settle(now)

    def settle(self) -> None:
        """Write down what was collected."""
        with self._lock:
            self._settle(time.monotonic())

    def close(self) -> None:
        """Write down what was collected, and close the file."""
        self.settle()
        self._file.close()

    def _settle(self, now: float) -> None:
        for key, run in list(self._runs.items()):
            if run.times:
                self._write(key, run.since, run.times, run.received, run.sent)
                run.times = run.received = run.sent = 0
            else:
                del self._runs[key]
        if len(self._runs) > _MAX_RUNS:
            self._runs.clear()
        self._settled = now

    def _write(self, key: tuple, since: float, times: int, received: int, sent: int) -> None:
        who, role, address, what, decision, rule = key
        when = datetime.fromtimestamp(since, timezone.utc).isoformat(timespec="milliseconds")
        entry = Entry(when, str(who), role, address, what, times, received, sent, decision, rule)
        self._file.emit(logging.makeLogRecord({"msg": json.dumps(asdict(entry))}))


class _PrivateFile(RotatingFileHandler):
    """A log file that only its owner reads."""

    def _open(self):
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        file = open(self.baseFilename, self.mode, encoding=self.encoding, opener=_for_the_owner)  # noqa: SIM115
        os.fchmod(file.fileno(), 0o600)  # of a file that was there
        if Path(self.baseFilename).read_bytes()[-1:] not in (b"", b"\n"):
            file.write("\n")  # after a line that a power cut has cut off
        return file

    def handleError(self, record: logging.LogRecord) -> None:
        logger.exception("the audit log %s cannot be written", self.baseFilename)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read(path: Path) -> Iterator[Entry]:
    """The entries of a log, the oldest first. Lines that a power cut has cut off are left out.

    Raises:
        OSError: the file cannot be read.
    """
    earlier = [path.with_name(f"{path.name}.{number}") for number in range(_FILES - 1, 0, -1)]
    for file in [*(each for each in earlier if each.exists()), path]:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError):
                continue


@dataclass(frozen=True)
class Left:
    """What has left a worker.

    Attributes:
        what: the answers to what.
        who, role: who received them.
        times: how many answers.
        bytes: of all of them.
    """

    what: str
    who: str
    role: str
    times: int
    bytes: int


def what_has_left(entries: Iterable[Entry]) -> list[Left]:
    """Totals of what was answered, by what was asked for and who received it; the largest first."""
    totals: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for entry in entries:
        if entry.decision == DONE and entry.sent:
            total = totals[entry.what, entry.who, entry.role]
            total[0] += entry.times
            total[1] += entry.sent
    return sorted((Left(*key, *total) for key, total in totals.items()), key=lambda left: -left.bytes)
