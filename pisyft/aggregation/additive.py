"""Additive secret sharing over the integers modulo 2**64: n shares that add up to an update, one for each participant.

Each Pi makes one random share for every other Pi, subtracts them from its update, which is the share that it keeps, and
uploads the sum of all shares that it then holds. The sum of these sums is the sum of the updates, and any n - 1 shares
of an update are random numbers. (Additive n-of-n sharing, as in Damgard, Pastro, Smart and Zakarias 2012, "Multiparty
Computation from Somewhat Homomorphic Encryption", section 1.)

A random share need not be sent as it is: the 32-byte seed that it is made from says the same (Cramer, Damgard and Ishai
2005, "Share Conversion, Pseudorandom Secret-Sharing and Applications to Secure Computation"). So a message between two
Pis has 64 bytes, whatever the size of the model.
"""

from __future__ import annotations

from pisyft.aggregation.errors import Refused
from pisyft.aggregation.protocol import JOIN, SHARE, UPLOAD, Answer, Collector, Contributor
from pisyft.aggregation.streams import SEED_BYTES, add_stream, new_seed

STEPS = (JOIN, SHARE, UPLOAD)


class AdditiveContributor(Contributor):
    """Makes shares, takes shares, and uploads the sum of those it holds."""

    steps = STEPS

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__(*arguments, **keywords)
        self._made: dict[str, bytes] = {}
        self._taken: dict[str, bytes] = {}

    def _answer(self, step, message, update) -> Answer:
        if step == JOIN:
            return {}, {}
        if step == SHARE:
            self._made = {other: new_seed() for other in self.others}
            return {}, {other: self.agreement.digest + seed for other, seed in self._made.items()}
        return {"vector": self._partial_sum(update)}, {}

    def deliver(self, sender: str, message: bytes) -> None:
        if sender not in self.others:
            raise Refused(f"{self.name}: {sender} is no participant, and its share is not taken")
        if sender in self._taken:
            raise Refused(f"{self.name}: {sender} has sent its share already")
        if not isinstance(message, bytes) or len(message) != len(self.agreement.digest) + SEED_BYTES:
            raise Refused(f"{self.name}: the share of {sender} has the wrong length")
        digest, seed = message[:-SEED_BYTES], message[-SEED_BYTES:]
        if digest != self.agreement.digest:
            raise Refused(f"{self.name}: the share of {sender} is for another agreement; who coordinates this round?")
        self._taken[sender] = seed

    def _partial_sum(self, update):
        missing = [other for other in self.others if other not in self._taken]
        if missing:
            raise Refused(f"{self.name}: no share has come from {', '.join(missing)}")
        vector = self._ring_of(update)
        for other in self.others:
            add_stream(vector, self._made.pop(other), -1)
            add_stream(vector, self._taken[other], +1)
        self._taken.clear()
        return vector


class AdditiveCollector(Collector):
    """Adds the partial sums up, for which it needs everybody's."""

    steps = STEPS

    def _take(self, participant, step, answer) -> None:
        if step == UPLOAD:
            self._add(answer["vector"])

    def _finish(self, step) -> None:
        self._need_everybody()
        if step == UPLOAD:
            self._decode(self.agreement.participants)
