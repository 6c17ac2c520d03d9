"""What the participants of a round agree on, and what a Pi remembers so that nobody can take a sum apart.

A sum over alice, bob and carol tells nothing about one of them. The difference between it and a sum over alice and bob
tells all about carol. So a Pi takes part only in rounds over participants that its own configuration names, and gives
an update away once.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pisyft.aggregation.errors import GivenAway, Refused
from pisyft.aggregation.fixed_point import FixedPoint, Layout

ROUND_BYTES = 16
DEFAULT_MINIMUM = 2


def new_round_id() -> str:
    """A round's id, never to be used again: 16 bytes of the operating system's generator, in hexadecimal."""
    return os.urandom(ROUND_BYTES).hex()


def digest_of_layout(layout: Layout) -> str:
    """What tells models of different shapes apart."""
    return hashlib.sha256(json.dumps([[name, list(shape)] for name, shape in layout.items()]).encode()).hexdigest()


def digest_of_values(values: NDArray) -> str:
    """What tells models with different parameters apart: the version of a model."""
    little_endian = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{values.dtype.name} {values.shape} ".encode() + little_endian.tobytes()).hexdigest()


def digest_of_training(message: NDArray, model: str, settings: Mapping[str, object]) -> str:
    """What tells trainings apart that a coordinator may ask for: all that it decides on, but for the seed.

    With the model alone, it could have one Pi train, and the others with a learning rate of zero: the sum would be the
    one Pi's update. (A seed changes the order of the names, which each Pi mixes a secret into.)

    Args:
        message: what the training begins with.
        model: the name of the network.
        settings: of `TrainingSettings`, all of them, by name.
    """
    plain = {name: value for name, value in settings.items() if name != "seed"}
    text = json.dumps([model, plain, digest_of_values(message)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def least_threshold(group: int) -> int:
    """More than half of a group. Below it, a coordinator could ask one half for one secret, and the other half for
    the other (Bonawitz et al. 2017, section 4.3)."""
    return group // 2 + 1


def default_threshold(group: int) -> int:
    """How many of a group must answer to the end: two thirds and one, so that fewer than a third of it who work with
    the coordinator learn nothing; of three, two, so that one may vanish."""
    return 2 if group <= 3 else 2 * group // 3 + 1


@dataclass(frozen=True)
class Agreement:
    """What everybody who takes part in a round knows to be the same for all: it goes into every key and every share.

    Attributes:
        round: the round's id, 32 hexadecimal digits.
        protocol: additive, masks or plain.
        participants: their ids, sorted.
        model: the digest of the training that everybody is asked for (`digest_of_training`).
        layout: the digest of the names and shapes of what is summed.
        length: how many values that are.
        fixed_point: how they travel.
        threshold: masks only: how many of a Pi and its neighbours must answer to the end.
    """

    round: str
    protocol: str
    participants: tuple[str, ...]
    model: str
    layout: str
    length: int
    fixed_point: FixedPoint
    threshold: int = 0

    def as_message(self) -> dict:
        """As plain values, to travel."""
        return {**asdict(self), "participants": list(self.participants)}

    @classmethod
    def from_message(cls, message: object) -> Agreement:
        """The agreement that `as_message` wrote.

        Raises:
            Refused: the message is none, or makes no sense.
        """
        values = _checked(cls, message, "agreement")
        values["fixed_point"] = FixedPoint(**_checked(FixedPoint, values["fixed_point"], "fixed point"))
        participants = values["participants"]
        if not all(isinstance(each, str) and each for each in participants):
            raise Refused("agreement: a participant's id must be a text")
        values["participants"] = tuple(participants)
        agreement = cls(**values)
        agreement.check()
        return agreement

    def check(self) -> None:
        """Make sure that it makes sense, whoever wrote it.

        Raises:
            Refused: it does not.
        """
        if len(self.round) != 2 * ROUND_BYTES or set(self.round) - set("0123456789abcdef"):
            raise Refused(f"agreement: {self.round[:40]!r} is no round id")
        if list(self.participants) != sorted(set(self.participants)):
            raise Refused("agreement: the participants must be sorted, and each named once")
        if self.length < 1:
            raise Refused(f"agreement: there are {self.length} values to sum")
        self.fixed_point.check(len(self.participants))

    @functools.cached_property
    def digest(self) -> bytes:
        """32 bytes that are the same for the same agreement only."""
        return hashlib.sha256(json.dumps(self.as_message(), sort_keys=True).encode()).digest()


def _checked(kind: type, message: object, what: str) -> dict:
    """The message's values, which have the names and types of a dataclass's fields."""
    allowed: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}
    if not isinstance(message, dict) or set(message) != {field.name for field in fields(kind)}:
        raise Refused(f"{what}: these are not the values that belong into it")
    for field in fields(kind):
        expected = allowed.get(str(field.type), (list, tuple, dict))
        if isinstance(message[field.name], bool) or not isinstance(message[field.name], expected):
            raise Refused(f"{what}: {field.name} must not be a {type(message[field.name]).__name__}")
    return dict(message)


class _Given(NamedTuple):
    """Where an update was given away."""

    round: str
    participants: tuple[str, ...]


class Ledger:
    """What a Pi remembers about rounds, and by which it decides whether to take part.

    An update that was given away is written to a file first, and the file is never shortened: whether it was must be
    known after a power cut, too, since the same training gives the same update again.

    Args:
        me: this Pi's id.
        pinned: the ids of all others whom this Pi takes part with, from its own configuration.
        path: the file; None remembers for this process only.
        minimum: how many participants a round must have. Two is the least: a sum over one is its update. With two,
            though, each of them learns the other's update, by subtracting its own; with three, two of them would have
            to work together. Three is better.
        protocols: those that this Pi takes part in. `plain` belongs here for teaching only.
    """

    def __init__(
        self,
        me: str,
        pinned: Collection[str],
        path: Path | None = None,
        minimum: int = DEFAULT_MINIMUM,
        protocols: Sequence[str] = ("additive", "masks"),
    ) -> None:
        if minimum < DEFAULT_MINIMUM:
            raise ValueError(f"a minimum of {minimum} participants protects nobody: a sum over one is its update")
        self.me, self.pinned, self.minimum, self.protocols = me, frozenset(pinned) - {me}, minimum, tuple(protocols)
        self._path = path
        self._rounds: set[str] = set()
        self._given: dict[str, _Given] = {}
        # One object for all rounds with the same participants: what is remembered for ever is small.
        self._participants: dict[tuple[str, ...], tuple[str, ...]] = {}
        if path is not None and path.exists():
            self._read(path)

    def join(self, agreement: Agreement) -> None:
        """Decide whether to take part in a round, and remember it.

        Raises:
            Refused: with the reason.
        """
        reason = self._objection(agreement)
        if reason:
            raise Refused(f"{self.me} does not take part in round {agreement.round[:8]}: {reason}")
        self._rounds.add(agreement.round)

    def _objection(self, agreement: Agreement) -> str | None:
        unknown = sorted(set(agreement.participants) - self.pinned - {self.me})
        if agreement.round in self._rounds:
            return "it has done so already, and does it once"
        if self.me not in agreement.participants:
            return f"it is over {', '.join(agreement.participants)} and not over {self.me}"
        if unknown:
            return f"{self.me} does not know {', '.join(unknown)}: start it with --peer {unknown[0]}=HOST:PORT"
        if len(agreement.participants) < self.minimum:
            return f"it has {len(agreement.participants)} participants, and {self.me} asks for {self.minimum} at least"
        if agreement.protocol not in self.protocols:
            return f"its protocol is {agreement.protocol!r}, and {self.me} takes part in {' and '.join(self.protocols)}"
        return None

    def give(self, agreement: Agreement, update: str) -> None:
        """Remember that an update is given away now, before it is.

        Once, whatever the protocol: a second sum over the same participants is another one, since one of the others may
        have been asked to train with another seed, or have more names now.

        Args:
            update: the digest of the update.

        Raises:
            GivenAway: it was given away before.
        """
        self.check_given(agreement, update)
        if self._path is not None:
            entry = {"round": agreement.round, "protocol": agreement.protocol, "participants": agreement.participants}
            self._append({"update": update, **entry})
        self._remember(update, agreement.round, agreement.participants)

    def has_given(self, update: str) -> bool:
        """Whether an update, by its digest, was given away."""
        return update in self._given

    def check_given(self, agreement: Agreement, update: str) -> None:
        """Make sure that `give` would not refuse an update.

        Raises:
            GivenAway: it was given away before.
        """
        earlier = self._given.get(update)
        if earlier is not None:
            raise GivenAway(
                f"{self.me} has given this update away in round {earlier.round[:8]} already, over "
                f"{', '.join(earlier.participants)}. The difference to a sum over "
                f"{', '.join(agreement.participants)} could be one Pi's update: train again, with another seed"
            )

    def _remember(self, update: str, round_id: str, participants: Sequence[str]) -> None:
        same = tuple(participants)
        self._given[update] = _Given(round_id, self._participants.setdefault(same, same))
        self._rounds.add(round_id)

    def _append(self, entry: dict) -> None:
        assert self._path is not None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            # A line of its own also after one that a power cut left half written.
            file.write(b"\n" + json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, path: Path) -> None:
        for line in path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                self._remember(entry["update"], entry["round"], entry["participants"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # half a line: written before the power cut, so that nothing was given away for it


def last_given(path: Path) -> dict | None:
    """The last round that a Pi has given an update to, from its ledger's file; None if there is none.

    Returns:
        `round`, `protocol`, `participants`, and `time`, UTC, ISO 8601.
    """
    try:
        lines, written = path.read_bytes().splitlines(), path.stat().st_mtime
    except OSError:
        return None
    for line in reversed(lines):
        try:
            entry = json.loads(line)
            when = datetime.fromtimestamp(written, timezone.utc).isoformat(timespec="seconds")
            return {**{key: entry[key] for key in ("round", "protocol", "participants")}, "time": when}
        except (ValueError, KeyError, TypeError):
            continue
    return None
