"""A Pi's side of all its rounds: at most one is under way, and nothing is left of one that is given up."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pisyft.aggregation.additive import AdditiveCollector, AdditiveContributor
from pisyft.aggregation.agreement import (
    Agreement,
    Ledger,
    default_threshold,
    digest_of_layout,
    digest_of_values,
    new_round_id,
)
from pisyft.aggregation.errors import Refused
from pisyft.aggregation.fixed_point import FixedPoint, Layout, Ring
from pisyft.aggregation.masks import MasksCollector, MasksContributor, group_size
from pisyft.aggregation.plain import PlainCollector, PlainContributor
from pisyft.aggregation.protocol import JOIN, Answer, Collector, Contributor, Message
from pisyft.aggregation.signer import Signer

Kind = TypeVar("Kind")

_CONTRIBUTORS: dict[str, type[Contributor]] = {
    "additive": AdditiveContributor,
    "masks": MasksContributor,
    "plain": PlainContributor,
}
_COLLECTORS: dict[str, type[Collector]] = {
    "additive": AdditiveCollector,
    "masks": MasksCollector,
    "plain": PlainCollector,
}
PROTOCOLS = tuple(_COLLECTORS)

# Longer than any training in between takes.
ROUND_SECONDS = 3600.0


def new_agreement(
    protocol: str,
    participants: Iterable[str],
    model: str,
    layout: Layout,
    fixed_point: FixedPoint | None = None,
    threshold: int | None = None,
) -> Agreement:
    """What a coordinator proposes for a new round.

    Args:
        protocol: additive, masks or plain.
        participants: their ids.
        model: the digest of the training that everybody is asked for.
        layout: the names and shapes of what is summed.
        threshold: for masks; by default `default_threshold`.

    Raises:
        Refused: it makes no sense.
    """
    participants = tuple(sorted(participants))
    if protocol != "masks":
        threshold = 0
    elif threshold is None:
        threshold = default_threshold(group_size(len(participants)))
    agreement = Agreement(
        round=new_round_id(),
        protocol=protocol,
        participants=participants,
        model=model,
        layout=digest_of_layout(layout),
        length=sum(math.prod(shape) for shape in layout.values()),
        fixed_point=fixed_point or FixedPoint(),
        threshold=threshold,
    )
    agreement.check()
    return agreement


def make_contributor(agreement: Agreement, me: str, minimum: int, signer: Signer | None) -> Contributor:
    """A Pi's part in a round of the agreed protocol."""
    return _known(_CONTRIBUTORS, agreement)(agreement, me, minimum, signer)


def make_collector(agreement: Agreement) -> Collector:
    """The coordinator's part in a round of the agreed protocol."""
    return _known(_COLLECTORS, agreement)(agreement)


def _known(kinds: Mapping[str, Kind], agreement: Agreement) -> Kind:
    if agreement.protocol not in kinds:
        raise Refused(f"there is no protocol {agreement.protocol!r}, only {', '.join(kinds)}")
    return kinds[agreement.protocol]


@dataclass(frozen=True)
class Update:
    """What a Pi has learned in one training.

    Attributes:
        values: float, (values,).
        weight: the names it trained on.
        layout: the names and shapes of the parameters.
        model: the digest of the training (`digest_of_training`).
    """

    values: NDArray[np.floating]
    weight: int
    layout: Layout
    model: str

    @property
    def digest(self) -> str:
        """The same for the same values, whatever training has come to them: settings may differ that change nothing."""
        return digest_of_values(self.values + 0.0)  # of -0.0, which is equal, 0.0 is made


class Rounds:
    """What a Pi does with the messages of a round, whoever sends them and in whatever order.

    Args:
        ledger: decides which rounds this Pi takes part in.
        signer: signs what this Pi says in a round with masks.
        seconds: a round that is not over by then is given up: its coordinator will not come back.
    """

    def __init__(self, ledger: Ledger, signer: Signer | None = None, seconds: float = ROUND_SECONDS) -> None:
        self.ledger, self._signer, self._seconds = ledger, signer, seconds
        self._lock = threading.RLock()
        self._contributor: Contributor | None = None
        self._update: Update | None = None
        self._forgotten = 0

    @property
    def update(self) -> Update | None:
        """What the last training has left."""
        return self._update

    @property
    def was_given(self) -> bool:
        """Whether what the last training has left was given away."""
        with self._lock:
            return self._update is not None and self.ledger.has_given(self._update.digest)

    @property
    def running(self) -> str | None:
        """The id of the round that is under way."""
        contributor = self._contributor
        return None if contributor is None else contributor.agreement.round

    @property
    def forgotten(self) -> int:
        """How often `forget` was called."""
        return self._forgotten

    def keep(self, update: Update, forgotten: int | None = None) -> None:
        """Keep what a training has left, for the round that asks for it.

        Args:
            forgotten: what that was when the training began.

        Raises:
            Refused: `forget` was called since.
            GivenAway: the same was given away before, and there is a round under way.
        """
        with self._lock:
            if forgotten not in (None, self._forgotten):
                raise Refused(f"{self.ledger.me} has dropped what it learned meanwhile: its owner wanted that")
            self._update = update
            if self._contributor is not None:
                self.ledger.check_given(self._contributor.agreement, update.digest)

    def answer(self, step: str, round_id: str, message: Message) -> Answer:
        """Answer a coordinator's step.

        Returns:
            The answer, and what must have reached other participants before it is given.

        Raises:
            Refused: with the reason. This Pi's part in the round is over then.
        """
        with self._lock:
            if step == JOIN:
                return self._join(round_id, message)
            contributor = self._running(round_id)
            try:
                return contributor.answer(step, message, lambda: self._give(contributor.agreement))
            finally:
                if contributor.is_over:
                    self.abandon()

    def deliver(self, sender: str, round_id: str, message: bytes) -> None:
        """Take what another participant sends directly.

        Raises:
            Refused: with the reason. The round goes on.
        """
        with self._lock:
            self._running(round_id).deliver(sender, message)

    def abandon(self, round_id: str | None = None) -> None:
        """Forget a round that is given up, or whichever is under way. The update stays, as long as it was not given."""
        with self._lock:
            if self._contributor is not None and round_id in (None, self._contributor.agreement.round):
                self._contributor = None
                self._timer.cancel()

    def forget(self) -> None:
        """Forget the round under way, and the update that nobody was given. The ledger stays."""
        with self._lock:
            self.abandon()
            self._update = None
            self._forgotten += 1

    def check_model(self, round_id: str, model: str, layout: Layout) -> None:
        """Make sure that a training for a round begins with what was agreed on. Knows nothing of other rounds.

        Raises:
            Refused: it does not; the training would be thrown away.
        """
        with self._lock:
            if self._contributor is not None and self._contributor.agreement.round == round_id:
                self._check_model(self._contributor.agreement, model, layout)

    def _join(self, round_id: str, message: Message) -> Answer:
        self.abandon()  # a coordinator that begins a round has given the last one up
        agreement = Agreement.from_message(message)
        if agreement.round != round_id:
            raise Refused(f"{self.ledger.me}: the agreement is about another round than the call, {round_id[:40]!r}")
        self.ledger.join(agreement)
        contributor = make_contributor(agreement, self.ledger.me, self.ledger.minimum, self._signer)
        answer = contributor.answer(JOIN, message)
        self._contributor = contributor
        self._timer = threading.Timer(self._seconds, self.abandon, [agreement.round])
        self._timer.daemon = True
        self._timer.start()
        return answer

    def _running(self, round_id: str) -> Contributor:
        if self._contributor is None or self._contributor.agreement.round != round_id:
            raise Refused(
                f"{self.ledger.me} is in no round {round_id[:8]}: that was given up, or {self.ledger.me} has restarted"
            )
        return self._contributor

    def _check_model(self, agreement: Agreement, model: str, layout: Layout) -> None:
        me = f"{self.ledger.me} in round {agreement.round[:8]}"
        if digest_of_layout(layout) != agreement.layout:
            raise Refused(f"{me}: its model has other shapes than the round's; do all run the same version of PiSyft?")
        if model != agreement.model:
            raise Refused(f"{me}: it was asked to train with another model, or in another way, than the round is about")

    def _give(self, agreement: Agreement) -> Ring:
        """The encoded update, which from now on counts as given away."""
        update = self._update
        if update is None:
            raise Refused(f"{self.ledger.me} in round {agreement.round[:8]}: there is no update; call fit first")
        self._check_model(agreement, update.model, update.layout)
        if len(update.values) != agreement.length:
            raise Refused(
                f"{self.ledger.me} in round {agreement.round[:8]}: its update has {len(update.values)} values, and the "
                f"round is about {agreement.length}"
            )
        encoded = agreement.fixed_point.encode(update.values, update.weight, update.layout)
        self.ledger.give(agreement, update.digest)
        return encoded
