"""Where the page's facts come from: the Pis are asked every other second, and a run's events are read as they come."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from pisyft.credentials import Credentials
from pisyft.events import FILE, Released, from_line
from pisyft.page.sections import Sections
from pisyft.page.story import Story
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import (
    CallerRefused,
    OtherProtocol,
    OtherWorker,
    TransportError,
    UntrustedWorker,
    WorkerRestarted,
    WorkerTimeout,
)

# A Pi that dies is noticed after a pause and a time-out at most; one that says nothing, after two time-outs, since one
# that is only busy may miss the first.
PAUSE_SECONDS = 1.5
TIMEOUT_SECONDS = 1.5
NOTICED_AFTER_SECONDS = PAUSE_SECONDS + 2 * TIMEOUT_SECONDS
# A Pi that does not let this machine in counts how often it tries: there is no hurry then.
PAUSE_AFTER_REFUSAL_SECONDS = 30.0
_READ_EVERY_SECONDS = 0.2
# No Pi has more languages, nor longer words. Free memory is told in steps, so that not every answer is a change.
_MOST_LANGUAGES, _LONGEST_TEXT, _MEMORY_STEP_BYTES = 200, 80, 2**25

logger = logging.getLogger(__name__)


class Watch:
    """Puts what is known of some Pis and of a run into sections, for as long as the `with` lasts.

    Args:
        sections: `pi:ID` for each Pi, `classroom`, and what `Story` makes of the run.
        name: of the classroom.
        addresses: of the Pis, `(host, port)` by id.
        run: the folder that a training run writes to, now or later.
        credentials: the coordinator's.
        hint: what to type to see something, as long as nobody trains.
        begins: whether somebody trains without that.
    """

    def __init__(
        self,
        sections: Sections,
        name: str,
        addresses: Mapping[str, tuple[str, int]],
        run: Path,
        credentials: Credentials | None = None,
        hint: str = "pisyft train",
        begins: bool = False,
    ) -> None:
        self._stop = threading.Event()
        sections.put({"classroom": {"name": name, "pis": list(addresses), "hint": hint, "begins": begins}})
        presences = {pi: Presence(pi, f"{host}:{port}") for pi, (host, port) in addresses.items()}
        follow = (run / FILE, sections, presences, self._stop)
        self._threads = [threading.Thread(target=_follow, args=follow, name="events")]
        for pi, (host, port) in addresses.items():
            presence = presences[pi]
            sections.put({f"pi:{pi}": presence.told()})
            ask = Asker(host, port, pi, credentials)
            self._threads.append(
                threading.Thread(target=_watch_pi, args=(presence, ask, sections, self._stop), name=f"asks {pi}")
            )

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.daemon = True  # one may be looking up a host's name, which cannot be interrupted
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        deadline = time.monotonic() + NOTICED_AFTER_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class Presence:
    """Whether a Pi is there, since when, and what it said last."""

    def __init__(self, pi: str, address: str) -> None:
        self._told: dict = {"id": pi, "address": address, "online": None, "since": None, "problem": None}
        self._timeouts = 0

    def told(self) -> dict:
        """All of it, as plain values. `online` is None until the first answer or failure."""
        return dict(self._told)

    def answered(self, now: float, description: Mapping) -> None:
        """It has described itself.

        Raises:
            ValueError: not as a worker does. Nothing has changed then.
        """
        shown = _shown(description)
        self._timeouts = 0
        self._turn(True, now, None)
        self._told.update(shown)

    def took(self, version: int) -> None:
        """It uses this release now, as the run tells. What it says itself when it is asked next counts more."""
        if "released" in self._told:
            self._told["released"] = max(self._told["released"], version)

    def failed(self, now: float, error: Exception) -> float:
        """It has not.

        Returns:
            How many seconds to wait before it is asked again: none for one that may only have been busy.
        """
        if isinstance(error, WorkerTimeout):
            self._timeouts += 1
            if self._timeouts == 1 and self._told["online"]:
                return 0.0
        self._turn(False, now, str(error))
        is_refusal = isinstance(error, (CallerRefused, UntrustedWorker, OtherWorker, OtherProtocol))
        return PAUSE_AFTER_REFUSAL_SECONDS if is_refusal else PAUSE_SECONDS

    def _turn(self, online: bool, now: float, problem: str | None) -> None:
        if self._told["online"] is not online:
            self._told["since"] = now
        self._told.update(online=online, problem=problem)


class Asker(WebsocketClientWorker):
    """Asks a worker to describe itself. Not known to PySyft, and connected when it asks.

    Args:
        timeout: in seconds.
    """

    def __init__(
        self, host: str, port: int, pi: str, credentials: Credentials | None, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self._prepare(host, port, False, pi, timeout, credentials=credentials)

    def __call__(self) -> Mapping:
        """What it describes.

        Raises:
            TransportError: it did not answer.
            Exception: it refused.
        """
        try:
            return self.call("describe")
        except WorkerRestarted:  # which is no matter here
            return self.call("describe")


class Tail:
    """Reads a file that somebody writes lines to, or will, and that may be replaced by a new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> tuple[bool, list[bytes]]:
        """Whether the file is another one than before, and its lines that are complete and were not read yet."""
        is_new = self._is_new()
        if is_new:
            self.close()
            with suppress(FileNotFoundError):
                self._file = self._path.open("rb")
        if self._file is None:
            return is_new, []
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return is_new, lines

    def close(self) -> None:
        """Forget the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._rest = b""

    def _is_new(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False  # not yet, or not for a moment
        if self._file is None:
            return True
        # The open file keeps its number: no new one can have the same.
        here = os.fstat(self._file.fileno())
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)


def _shown(description: Mapping) -> dict:
    """What is shown of a worker's description. It is not believed to send what it should.

    Raises:
        ValueError: it does not.
    """
    try:
        languages = [_text(each) for each in description["languages"][:_MOST_LANGUAGES]]
        counts = [_count(each) for each in description["by_language"][: len(languages)]]
        if len(counts) < len(languages):
            raise ValueError("there are languages without a count")
        board = description.get("board") or {}
        free = _figure(board.get("memory_available_bytes"))
        return {
            "languages": languages,
            "by_language": counts,
            "released": _count(description["released"]),
            "doing": _text(description.get("doing", "idle")),
            "paused": description.get("paused") is True,
            "board": {
                "model": _text(board.get("model", "")),
                "temperature_celsius": _figure(board.get("temperature_celsius")),
                "memory_bytes": _figure(board.get("memory_bytes")),
                "memory_available_bytes": None if free is None else free // _MEMORY_STEP_BYTES * _MEMORY_STEP_BYTES,
            },
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"what it says of itself makes no sense: {str(error)[:_LONGEST_TEXT]}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is none")
    return value[:_LONGEST_TEXT]


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**40:
        raise ValueError("a count is none")
    return int(value)


def _figure(value: object) -> float | None:
    if value is not None and (not isinstance(value, (int, float)) or not math.isfinite(value)):
        raise ValueError("a figure is none")
    return value


def _follow(file: Path, sections: Sections, presences: Mapping[str, Presence], stop: threading.Event) -> None:
    tail, story = Tail(file), Story()
    sections.put(story.sections)
    try:
        while True:
            try:
                is_new, lines = tail.read()
            except OSError as error:
                logger.warning("%s cannot be read: %s", file, error)
                is_new, lines = False, []
            if is_new:
                story = Story()
            for line in lines:
                try:
                    told = from_line(line)
                except ValueError as error:
                    logger.warning("%s: %s", file, error)
                    continue
                if told is None:
                    continue
                story.take(*told)
                if isinstance(told[1], Released):
                    _take_release(told[1], story, sections, presences)
            if is_new or lines:
                sections.put(story.sections)
            if stop.wait(_READ_EVERY_SECONDS):
                return
    finally:
        tail.close()


def _take_release(released: Released, story: Story, sections: Sections, presences: Mapping[str, Presence]) -> None:
    """Show it on the Pis that have it, before they are asked again."""
    for pi in set(story.sections["run"].get("workers", [])) - set(released.away):
        if pi in presences:
            presences[pi].took(released.version)
            sections.put({f"pi:{pi}": presences[pi].told()})


def _watch_pi(presence: Presence, ask: Callable[[], Mapping], sections: Sections, stop: threading.Event) -> None:
    while True:
        pause = PAUSE_SECONDS
        try:
            description = ask()
            presence.answered(time.time(), description)
        except Exception as error:  # whatever it is, the page shows it
            if not isinstance(error, TransportError):
                logger.debug("asking failed", exc_info=True)
            pause = presence.failed(time.time(), error)
        told = presence.told()
        sections.put({f"pi:{told['id']}": told})
        if stop.wait(pause):
            break
    if isinstance(ask, Asker):
        ask.close()
