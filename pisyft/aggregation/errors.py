"""What can go wrong in a round, each with the fact in its text."""

from __future__ import annotations


class AggregationError(Exception):
    """A round of secure aggregation cannot be what it should be."""


class Refused(AggregationError, ValueError):
    """A message, an agreement or a number that a Pi, or the coordinator, does not accept."""

    rule = "round"  # of a worker, for its audit log


class GivenAway(Refused):
    """An update was part of a sum already, and a second sum could tell what it is. Training again helps."""


class RoundAborted(AggregationError):
    """A round came to no sum. Nothing was learned from it; the model is the one from before.

    Attributes:
        round: the round's id.
        participant: who was the reason, None where it was nobody in particular.
        step: the step in which it happened.
        released: whether a Pi may have given its part away, so that the same updates must not be summed again.
    """

    def __init__(self, round_id: str, step: str, participant: str | None, reason: str, released: bool) -> None:
        who = "" if participant is None else f" because of {participant}"
        super().__init__(f"round {round_id[:8]} was given up in step {step!r}{who}: {reason}")
        self.round, self.step, self.participant, self.released = round_id, step, participant, released
