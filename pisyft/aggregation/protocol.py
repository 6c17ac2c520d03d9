"""The interface that all protocols share: what a Pi does in a round, and what the coordinator does.

Both are state machines without sockets: messages in, messages out. The coordinator asks all participants the same
step, then the next one; every protocol begins with `join` and gives its part away in `upload`:

    additive    join    share    upload
    masks       join    share    upload    confirm    unmask
    plain       join             upload

A participant trains between the steps before `upload` and that one: whoever cannot take part is known before anybody
has trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pisyft.aggregation.agreement import Agreement
from pisyft.aggregation.errors import Refused, RoundAborted
from pisyft.aggregation.fixed_point import Ring
from pisyft.aggregation.signer import Signer

JOIN, SHARE, UPLOAD, CONFIRM, UNMASK = "join", "share", "upload", "confirm", "unmask"
# No step of any protocol: forgets the round.
GIVE_UP = "give up"

Message = dict
# What a Pi answers to a step, and what it has to send to others before it does.
Answer = tuple[Message, Mapping[str, bytes]]


class Contributor(ABC):
    """A Pi's part in one round.

    Any step that fails ends the part: the state of half a step is of no use to anybody.

    Args:
        agreement: what the participants agree on.
        me: this Pi's id.
        minimum: how many updates a sum must have for this Pi to help with it.
        signer: signs what this Pi says and checks what others have signed. Without one, the coordinator is trusted
            to carry messages between Pis unchanged.
    """

    steps: ClassVar[tuple[str, ...]]

    def __init__(self, agreement: Agreement, me: str, minimum: int = 2, signer: Signer | None = None) -> None:
        self.agreement, self.me, self.minimum, self.signer = agreement, me, minimum, signer
        self.others = tuple(each for each in agreement.participants if each != me)
        self._left = list(self.steps)

    def answer(self, step: str, message: Message, update: Callable[[], Ring] | None = None) -> Answer:
        """Take a step.

        Args:
            message: from the coordinator.
            update: gives the encoded update, for `upload`; what it returns is changed and given away.

        Returns:
            The answer, and what must have reached other participants before it is given.

        Raises:
            Refused: it is not this step's turn, or something in the message cannot be accepted.
        """
        left, self._left = self._left, []
        if not left or step != left[0]:
            turn = f"it is the turn of {left[0]!r}" if left else "the round is over for it"
            raise Refused(f"{self.name}: step {step!r} is out of turn, {turn}")
        try:
            result = self._answer(step, message, update)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, Refused):
                raise
            raise Refused(f"{self.name}: the message of step {step!r} is none") from error
        self._left = left[1:]
        return result

    @abstractmethod
    def _answer(self, step: str, message: Message, update: Callable[[], Ring] | None) -> Answer:
        """Take a step whose turn it is."""

    def deliver(self, sender: str, message: bytes) -> None:
        """Take what another participant sent directly.

        Raises:
            Refused: it cannot be accepted.
        """
        raise Refused(f"{self.name}: {sender} delivered something, and nobody delivers anything in this protocol")

    @property
    def is_over(self) -> bool:
        """Whether no step is left, be it that all are done or that one has failed."""
        return not self._left

    @property
    def name(self) -> str:
        """For the texts of errors."""
        return f"{self.me} in round {self.agreement.round[:8]}"

    def _ring_of(self, update: Callable[[], Ring] | None) -> Ring:
        assert update is not None
        ring = update()
        assert ring.shape == (self.agreement.length + 1,) and ring.dtype == self.agreement.fixed_point.dtype
        return ring


@dataclass(frozen=True)
class Total:
    """What a round has come to.

    Attributes:
        mean: the weighted mean of the updates, float64, (values,).
        weight: the sum of the weights.
        contributors: whose updates are in it.
        missing: why the other participants' are not, by id.
        updates: what each has contributed, float64, by id; where the protocol shows it, which `plain` alone does.
    """

    mean: NDArray[np.float64]
    weight: int
    contributors: tuple[str, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    updates: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class Collector(ABC):
    """The coordinator's part in one round.

        collector = make_collector(agreement)
        while collector.step:
            for participant, message in collector.ask().items():
                collector.take(participant, ...)      # its answer, or
                collector.lose(participant, reason)   # that none came
            collector.advance()
        collector.total

    Attributes:
        agreement: what the participants agree on.
        step: what is to be asked now; None when the round is over.
        lost: why participants are not in the round any more, by id.
        total: the sum, when the round is over.
    """

    steps: ClassVar[tuple[str, ...]]

    def __init__(self, agreement: Agreement) -> None:
        agreement.check()
        self.agreement = agreement
        self.step: str | None = JOIN
        self.lost: dict[str, str] = {}
        self.total: Total | None = None
        self._asked_to_upload = False
        self._answered: set[str] = set()
        self._sum = np.zeros(agreement.length + 1, agreement.fixed_point.dtype)
        self._updates: dict[str, NDArray[np.float64]] = {}

    @property
    def present(self) -> list[str]:
        """The participants that are in the round still."""
        return [each for each in self.agreement.participants if each not in self.lost]

    @property
    def released(self) -> bool:
        """Whether a participant may have given its update away: then the same updates must not be summed again."""
        return self._asked_to_upload

    def ask(self) -> dict[str, Message]:
        """What to send to whom in this step.

        Raises:
            RoundAborted: those who were lost since the last step are needed.
        """
        self._check_present()
        if self.step == UPLOAD:
            self._asked_to_upload = True
        if self.step == JOIN:
            return {each: self.agreement.as_message() for each in self.present}
        return {each: self._question(each) for each in self.present}

    def take(self, participant: str, answer: Message) -> None:
        """Take a participant's answer to this step.

        Raises:
            Refused: the answer cannot be accepted. The participant is lost then.
        """
        step, name = self.step, f"{participant} in step {self.step!r} of round {self.agreement.round[:8]}"
        if step is None or participant not in self.agreement.participants:
            raise Refused(f"{name}: nobody has asked it")
        if participant in self.lost:
            raise Refused(f"{name}: it is too late, the round goes on without it ({self.lost[participant]})")
        if participant in self._answered:
            raise Refused(f"{name}: it has answered already")
        try:
            self._take(participant, step, answer)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = str(error) if isinstance(error, Refused) else "its answer is none"
            self.lose(participant, reason)
            raise Refused(f"{name}: {reason}") from error
        self._answered.add(participant)

    def lose(self, participant: str, reason: str) -> None:
        """Go on without a participant, from which no answer came or comes."""
        self.lost.setdefault(participant, reason)

    def advance(self) -> None:
        """Go to the next step, once every participant has answered or is lost.

        Raises:
            RoundAborted: the round cannot go on without those that are lost.
        """
        assert self.step is not None
        for each in self.present:
            if each not in self._answered:
                self.lose(each, "no answer")
        self._finish(self.step)
        self._answered = set()
        following = self.steps.index(self.step) + 1
        self.step = self.steps[following] if following < len(self.steps) else None

    def abort(self, participant: str | None, reason: str) -> RoundAborted:
        """The error that gives the round up."""
        assert self.step is not None
        return RoundAborted(self.agreement.round, self.step, participant, reason, self.released)

    def _check_present(self) -> None:
        """Give the round up if it cannot go on with those who are present."""
        self._need_everybody()

    def _need_everybody(self) -> None:
        for each in self.agreement.participants:
            if each in self.lost:
                raise self.abort(each, self.lost[each])

    def _add(self, vector: object) -> None:
        """Add what a participant uploaded to the sum."""
        if not isinstance(vector, np.ndarray) or vector.dtype != self._sum.dtype or vector.shape != self._sum.shape:
            shape = f"{vector.dtype} {vector.shape}" if isinstance(vector, np.ndarray) else type(vector).__name__
            raise Refused(f"it uploaded {shape}, not {self._sum.dtype} {self._sum.shape}")
        self._sum += vector

    def _decode(self, contributors: tuple[str, ...]) -> None:
        try:
            mean, weight = self.agreement.fixed_point.decode(self._sum, len(contributors))
        except Refused as error:
            raise self.abort(None, str(error)) from error
        missing = {each: reason for each, reason in self.lost.items() if each not in contributors}
        self.total = Total(mean, weight, contributors, missing, self._updates)

    def _question(self, participant: str) -> Message:
        """What to ask of a participant in a step after `join`."""
        return {}

    @abstractmethod
    def _take(self, participant: str, step: str, answer: Message) -> None:
        """Take an answer, whose turn it is."""

    @abstractmethod
    def _finish(self, step: str) -> None:
        """End a step: everybody who is present has answered it."""
