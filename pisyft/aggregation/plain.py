"""No protection at all: every update goes to the coordinator as it is. To show what the other protocols prevent.

A Pi takes part in it only if its owner allows it, and the coordinator says every time what it means.
"""

from __future__ import annotations

import warnings

from pisyft.aggregation.agreement import Agreement
from pisyft.aggregation.protocol import JOIN, UPLOAD, Answer, Collector, Contributor

STEPS = (JOIN, UPLOAD)


class PlainAggregation(UserWarning):
    """A round without protection begins."""


class PlainContributor(Contributor):
    """Gives its update away as it is."""

    steps = STEPS

    def _answer(self, step, message, update) -> Answer:
        return ({} if step == JOIN else {"vector": self._ring_of(update)}), {}


class PlainCollector(Collector):
    """Sees every update, and adds them up."""

    steps = STEPS

    def __init__(self, agreement: Agreement) -> None:
        super().__init__(agreement)
        warnings.warn(
            "plain aggregation: the coordinator sees what every single Pi has learned. For teaching only; additive and "
            "masks give the same sum without that",
            PlainAggregation,
            stacklevel=3,
        )

    def _take(self, participant, step, answer) -> None:
        if step == UPLOAD:
            self._add(answer["vector"])
            self._updates[participant], _ = self.agreement.fixed_point.decode(answer["vector"], 1)

    def _finish(self, step) -> None:
        if step == JOIN:
            self._need_everybody()
            return
        if len(self.present) < 2:
            raise self.abort(*list(self.lost.items())[-1])
        self._decode(tuple(self.present))
