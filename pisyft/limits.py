"""How much of a worker its callers may take. Knows the figures, and not how they are kept to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pisyft.learning.training import TrainingSettings


class LimitsError(ValueError):
    """A limit that is none, or has a value that it cannot have."""


class OverLimit(Exception):
    """A caller went over a limit: its connection is closed, with this reason.

    Attributes:
        limit: the name of the limit.
    """

    rule = "limit"

    def __init__(self, limit: str, problem: str) -> None:
        super().__init__(f"limit {limit}: {problem}")
        self.limit = limit


@dataclass(frozen=True)
class Limits:
    """What callers of a worker may take, in numbers that suit a Pi with 512 MB. Each can be set in `classroom.toml`:

        [limits]
        frame_mb = 128
        connections = 100

    Attributes:
        frame_mb: megabytes (2**20 bytes) of one message, also when it is decompressed.
        operations_per_message: requests in one message.
        objects: that one caller holds by pointers.
        objects_mb: megabytes of memory that they use.
        objects_mb_together: the same, of all callers. The worker's own names count for none.
        array_values: elements of the largest tensor or array.
        handshake_seconds: until a caller has said who it is.
        idle_seconds: without a request, after which a connection is closed. Whoever comes back goes on.
        connections: at a time.
        connections_per_address: at a time.
        failed_logins_per_minute: from one address. More are not listened to until the minute is over.
        batch_size: names in one step of a training.
        passes: over the worker's names in one training.
        questions_per_day: different models that names are counted with, and trainings, in 24 hours. A run asks two for
            each round, and some more; who asks thousands may be spelling names.
    """

    frame_mb: int = 64
    operations_per_message: int = 1024
    objects: int = 20_000
    objects_mb: int = 128
    objects_mb_together: int = 192
    array_values: int = 32_000_000
    handshake_seconds: int = 30
    idle_seconds: int = 3600
    connections: int = 64
    connections_per_address: int = 32
    failed_logins_per_minute: int = 10
    batch_size: int = 4096
    passes: int = 100
    questions_per_day: int = 2000

    def __post_init__(self) -> None:
        """Raises:
        LimitsError: a limit is no whole number from 1 up.
        """
        for name, value in vars(self).items():
            if type(value) is not int or not 0 < value < 2**31:
                raise LimitsError(f"the limit {name} is {value!r}: it must be a whole number from 1 up")

    @property
    def frame_bytes(self) -> int:
        return self.frame_mb * 2**20

    def against(self, training: TrainingSettings, names: int, worker: str) -> str | None:
        """What speaks against such a training of a worker on so many names, or nothing."""
        per_pass = -(-names // training.batch_size)
        passes = training.passes if training.steps is None else training.steps / per_pass
        for limit, most, asked in (
            ("batch_size", self.batch_size, training.batch_size),
            ("passes", self.passes, passes),
        ):
            if asked > most:
                return f"limit {limit}: {asked:g}, and {worker} takes {most} at most"
        return None

    def with_changes(self, values: Mapping[str, int]) -> Limits:
        """These limits, some of them changed.

        Raises:
            LimitsError: there is no limit of that name, or its value cannot be.
        """
        names = [field.name for field in fields(self)]
        for name in values:
            if name not in names:
                raise LimitsError(f"there is no limit {name!r}, only {', '.join(names)}")
        return replace(self, **values)
