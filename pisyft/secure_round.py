"""A round of secure aggregation over the network: asks the workers, and gives up in time.

What is asked in which order is `aggregation`'s, which knows of no network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from syft.exceptions import GetNotPermittedError

from pisyft.aggregation.agreement import Agreement
from pisyft.aggregation.errors import GivenAway, Refused
from pisyft.aggregation.protocol import GIVE_UP, JOIN, UPLOAD, Collector, Total
from pisyft.aggregation.rounds import make_collector
from pisyft.events import Answered, Lost, Observer, Summed, SumStarted, ignore
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import TransportError, WorkerRestarted
from pisyft.transport.failures import carry

# One worker's own affair, which ends nothing for the others: it is away, or its owner does not permit what is asked of
# it (it is paused, or a limit is reached).
DOES_NOT_TAKE_PART = (TransportError, GetNotPermittedError)

for _error in (Refused, GivenAway):
    carry(_error)

# Trains on the workers with these ids; why some of them could not, by id.
Train = Callable[[Sequence[str]], Mapping[str, Exception]]


class SecureRound:
    """One round over some workers, which answer within their `timeout` or are lost.

    Args:
        agreement: what they agree on.
        workers: by id; those of the agreement.
        observe: is told who has taken which step, in any thread.

    Attributes:
        left_out: why a worker did not answer, or may not take part, by its id. The others can do without it.
    """

    def __init__(
        self, agreement: Agreement, workers: Mapping[str, WebsocketClientWorker], observe: Observer = ignore
    ) -> None:
        self.agreement, self._observe = agreement, observe
        self.left_out: dict[str, str] = {}
        self._workers = workers

    def run(self, train: Train | None = None) -> Total:
        """Take all steps.

        Args:
            train: called when everybody has agreed, before anybody gives anything away.

        Raises:
            RoundAborted: there is no sum. The workers that can be reached have forgotten the round.
        """
        collector = make_collector(self.agreement)
        agreed = self.agreement
        self._observe(SumStarted(agreed.round, agreed.protocol, agreed.participants, collector.steps))
        try:
            while (step := collector.step) is not None:
                if step == UPLOAD and train is not None:
                    for worker, error in train(collector.present).items():
                        self._lose(collector, worker, error)
                self._take_step(collector, step)
                collector.advance()
        except BaseException:
            self._give_up(collector.present)
            raise
        total = collector.total
        assert total is not None
        self._observe(Summed(total.contributors, total.weight))
        return total

    def _take_step(self, collector: Collector, step: str) -> None:
        questions = collector.ask()
        taking = threading.Lock()

        def ask(worker: str) -> None:
            try:
                answer = self._call(worker, step, questions[worker])
            except WorkerRestarted:
                if step != JOIN:
                    raise
                answer = self._call(worker, step, questions[worker])
            with taking:
                collector.take(worker, answer)
            self._observe(Answered(worker, step))

        for worker, error in in_parallel(ask, questions).items():
            if error is not None:
                self._lose(collector, worker, error)

    def _call(self, worker: str, step: str, message: dict) -> dict:
        return self._workers[worker].call("aggregate", round=self.agreement.round, step=step, message=message)

    def _lose(self, collector: Collector, worker: str, error: Exception) -> None:
        if isinstance(error, DOES_NOT_TAKE_PART):
            self.left_out[worker] = str(error)
        collector.lose(worker, str(error))
        self._observe(Lost(worker, collector.step or "", str(error)))

    def _give_up(self, workers: Collection[str]) -> None:
        # Who does not hear it forgets the round at the next one, or after a while; and may be why another one, which
        # could not hand over its share, has ended the round.
        for worker, error in in_parallel(lambda worker: self._call(worker, GIVE_UP, {}), workers).items():
            if isinstance(error, TransportError):
                self.left_out.setdefault(worker, str(error))


def in_parallel(call: Callable[[str], object], workers: Collection[str]) -> dict:
    """Call a function with the ids of workers, all at the same time; what it returned or raised, by id."""

    def outcome(worker: str) -> object:
        try:
            return call(worker)
        except Exception as error:
            return error

    with ThreadPoolExecutor(max(1, len(workers))) as pool:
        return dict(zip(workers, pool.map(outcome, workers), strict=True))
