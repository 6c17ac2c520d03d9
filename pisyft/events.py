"""What happens in a training run, as it happens: for whoever watches. Nothing here that a coordinator may not know.

A run tells its `Observer`. `EventLog` is one that writes each event as a line of JSON to `events.jsonl` in the run's
folder, which the classroom page reads while the run goes on, and afterwards.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, ClassVar

from pisyft.files import new_file

FILE = "events.jsonl"

logger = logging.getLogger(__name__)


class Event:
    """Something that has happened. Its fields are plain values."""

    kinds: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls) -> None:
        Event.kinds[cls.__name__] = cls


Observer = Callable[[Event], object]


def ignore(event: Event) -> None:
    """The observer of a run that nobody watches."""


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins, or goes on.

    Attributes:
        rounds: how many there will be.
        after: rounds that were done before. What came of them is told again, as `Evaluated`.
    """

    workers: Sequence[str]
    languages: Sequence[str]
    rounds: int
    aggregation: str
    model: str
    strategy: str
    after: int = 0


@dataclass(frozen=True)
class RoundStarted(Event):
    """A round begins, or is tried again. Rounds count from 1."""

    number: int


@dataclass(frozen=True)
class SumStarted(Event):
    """The workers are asked to agree on a secure sum; in a round, more than once if somebody cannot be reached.

    Attributes:
        steps: what everybody will be asked, as in `aggregation.protocol`. Training comes before "upload".
    """

    round_id: str
    protocol: str
    participants: Sequence[str]
    steps: Sequence[str]


@dataclass(frozen=True)
class Training(Event):
    """A worker is training.

    Attributes:
        names: that it has trained on so far in this round; those of a second pass count again.
        of: that it will train on.
        loss: the mean over the names since the worker last told, or over all of them when it has finished.
        finished: whether it has.
    """

    worker: str
    names: int
    of: int
    loss: float | None
    finished: bool = False


@dataclass(frozen=True)
class Answered(Event):
    """A worker has taken a step of a sum; "share" of an additive one: its shares have reached all others."""

    worker: str
    step: str


@dataclass(frozen=True)
class Lost(Event):
    """A worker is not in the round any more."""

    worker: str
    step: str
    reason: str


@dataclass(frozen=True)
class Summed(Event):
    """There is a sum.

    Attributes:
        contributors: whose updates are in it.
        names: that they train on in a pass, together.
    """

    contributors: Sequence[str]
    names: int


@dataclass(frozen=True)
class RoundGivenUp(Event):
    """There is no sum. The round is tried again after so many seconds, or the run ends."""

    reason: str
    again_after_seconds: float | None


@dataclass(frozen=True)
class Evaluated(Event):
    """The workers have counted the model's guesses on names that were held out.

    Attributes:
        round: after which; 0 is before the first.
        part: "validation" or "test".
        confusion: of all workers together: names of each language (row) that were taken for each language (column).
        by_worker: accuracy and loss, by id.
    """

    round: int
    part: str
    names: int
    accuracy: float
    loss: float
    confusion: Sequence[Sequence[int]]
    by_worker: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class PhaseStarted(Event):
    """What a run does when the rounds are over: "testing", "training alone", "releasing", "training in one place"."""

    phase: str


@dataclass(frozen=True)
class Released(Event):
    """A model is in use on the workers, but for those that were away."""

    version: int
    away: Sequence[str]


@dataclass(frozen=True)
class NotReleased(Event):
    """The model is not good enough."""

    reasons: Sequence[str]


@dataclass(frozen=True)
class RunFinished(Event):
    """The run has come to its end."""

    best_round: int


@dataclass(frozen=True)
class RunStopped(Event):
    """The run has ended early."""

    reason: str


class EventLog:
    """Writes a run's events to a file, from the first one on. Before that, the file of an earlier run stays.

    Training does not stop because a disk is full: a log that cannot be written says so once, and ends.

        with EventLog(out / FILE) as observe:
            observe(RoundStarted(1))

    Args:
        file: takes the place of an earlier run's.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file: IO[bytes] | None = None
        self._failed = False
        self._lock = threading.Lock()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if kind is not None and self._file is not None:
            self(RunStopped("interrupted" if kind is KeyboardInterrupt else str(error) or kind.__name__))
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __call__(self, event: Event) -> None:
        """Write an event. Called in any thread."""
        line = to_line(event, time.time())
        with self._lock:
            if self._failed:
                return
            try:
                if self._file is None:
                    self._file = new_file(self._path)
                self._file.write(line)
                self._file.flush()
            except OSError as error:
                self._failed = True
                logger.warning("%s cannot be written (%s): nobody can watch this run", self._path, error)


def to_line(event: Event, now: float) -> bytes:
    """An event as a line of JSON.

    Args:
        now: seconds since 1970.
    """
    told = {"event": type(event).__name__, "time": round(now, 3), **asdict(event)}  # type: ignore[call-overload]
    return json.dumps(_plain(told), allow_nan=False, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> tuple[float, Event] | None:
    """When an event happened, in seconds since 1970, and which; None for one that a later version has written.

    Raises:
        ValueError: the line is none of a log.
    """
    try:
        values = json.loads(line)
        kind, happened = Event.kinds.get(values.pop("event")), float(values.pop("time"))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no line of an {FILE}: {line[:80]!r}") from error
    try:
        return None if kind is None else (happened, kind(**values))
    except TypeError:
        return None


def _plain(value: object) -> object:
    """JSON has no infinite numbers."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
