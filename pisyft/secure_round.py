"""A round of secure aggregation over the network: asks the workers, and gives up in time.

What is asked in which order is `aggregation`'s, which knows of no network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from pisyft.aggregation.agreement import Agreement
from pisyft.aggregation.protocol import GIVE_UP, JOIN, UPLOAD, Collector, Total
from pisyft.aggregation.rounds import make_collector
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import TransportError, WorkerRestarted

# Trains on the workers with these ids; why some of them could not, by id.
Train = Callable[[Sequence[str]], Mapping[str, Exception]]


class SecureRound:
    """One round over some workers, which answer within their `timeout` or are lost.

    Args:
        agreement: what they agree on.
        workers: by id; those of the agreement.

    Attributes:
        unreachable: the ids of those that did not answer.
    """

    def __init__(self, agreement: Agreement, workers: Mapping[str, WebsocketClientWorker]) -> None:
        self.agreement = agreement
        self.unreachable: set[str] = set()
        self._workers = workers

    def run(self, train: Train | None = None) -> Total:
        """Take all steps.

        Args:
            train: called when everybody has agreed, before anybody gives anything away.

        Raises:
            RoundAborted: there is no sum. The workers that can be reached have forgotten the round.
        """
        collector = make_collector(self.agreement)
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
        assert collector.total is not None
        return collector.total

    def _take_step(self, collector: Collector, step: str) -> None:
        def ask(worker: str, message: dict):
            call = self._workers[worker].call
            try:
                return call("aggregate", round=self.agreement.round, step=step, message=message)
            except WorkerRestarted:
                if step != JOIN:
                    raise
                return call("aggregate", round=self.agreement.round, step=step, message=message)

        questions = collector.ask()
        with ThreadPoolExecutor(len(questions)) as pool:
            asked = {worker: pool.submit(ask, worker, message) for worker, message in questions.items()}
            for worker, answer in asked.items():
                try:
                    collector.take(worker, answer.result())
                except Exception as error:
                    self._lose(collector, worker, error)

    def _lose(self, collector: Collector, worker: str, error: Exception) -> None:
        if isinstance(error, TransportError):
            self.unreachable.add(worker)
        collector.lose(worker, str(error))

    def _give_up(self, workers: Collection[str]) -> None:
        def tell(worker: str) -> None:
            with suppress(Exception):  # it forgets the round at the next one, or after a while
                self._workers[worker].call("aggregate", round=self.agreement.round, step=GIVE_UP, message={})

        if workers:
            with ThreadPoolExecutor(len(workers)) as pool:
                pool.map(tell, workers)
