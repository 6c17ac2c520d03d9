"""A worker's part in secure sums: what a training has changed waits here, and goes out in steps that tell nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
from torch import nn

from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.errors import GivenAway, Refused
from pisyft.aggregation.protocol import GIVE_UP
from pisyft.aggregation.rounds import Rounds, Update
from pisyft.aggregation.signer import Signer
from pisyft.credentials import Credentials
from pisyft.learning.vectors import layout_of
from pisyft.transport.client import PeerWorker
from pisyft.transport.errors import TransportError, WorkerRestarted
from pisyft.transport.failures import carry
from pisyft.transport.frames import Id
from pisyft.transport.server import Calling

# How often a coordinator hears that a worker waits for others.
_REPORT_SECONDS = 1.0

for _error in (Refused, GivenAway):
    carry(_error)


class Contribution:
    """Puts a worker's `Rounds` on the network.

    Args:
        ledger: decides which rounds the worker takes part in.
        credentials: sign what it says in rounds with masks, and check what others have signed.

    Attributes:
        peers: the other workers, by id. Filled once the server is there that calls them.
    """

    def __init__(self, ledger: Ledger, credentials: Credentials | None = None) -> None:
        files = (credentials.authority, credentials.certificate, credentials.key) if credentials else ()
        self._rounds = Rounds(ledger, Signer(*(file.read_bytes() for file in files)) if files else None)
        self._me = ledger.me
        self.peers: dict[Id, PeerWorker] = {}

    @property
    def verbs(self) -> dict[str, Callable]:
        """What a coordinator may call."""
        return {"aggregate": self.aggregate}

    @property
    def peer_verbs(self) -> dict[str, Callable]:
        """What other workers may call."""
        return {"deliver": self.deliver}

    def forget(self) -> None:
        """Leave the round under way, and drop what the last training has changed."""
        self._rounds.forget()

    @property
    def is_in_a_round(self) -> bool:
        """Whether the worker has joined a round that is not over."""
        return self._rounds.running is not None

    def check(self, round_id: str, model: nn.Module, length: int, training: str) -> None:
        """Make sure, before a training, that it is the one that the round under way is about.

        Args:
            length: how many values it will change.
            training: `digest_of_training` of what the coordinator asks for.

        Raises:
            Refused: it does not; the training would be thrown away.
        """
        self._rounds.check_model(round_id, training, layout_of(model, length))

    @property
    def forgotten(self) -> int:
        """How often `forget` was called."""
        return self._rounds.forgotten

    @property
    def was_given(self) -> bool:
        """Whether what the last training has changed was given away."""
        return self._rounds.was_given

    def keep(self, model: nn.Module, change: np.ndarray, names: int, training: str, forgotten: int) -> None:
        """Keep what a training has changed, float, until a round asks for it.

        Args:
            forgotten: what that was when the training began.

        Raises:
            Refused: the owner has had it forgotten since.
            GivenAway: exactly the same has been part of another sum. Another seed helps.
        """
        self._rounds.keep(Update(change, names, layout_of(model, len(change)), training), forgotten)

    def aggregate(self, calling: Calling, round: str, step: str, message: dict) -> dict:
        """Take a step of a secure sum (see `aggregation.protocol`); the step `give up` forgets the round.

        Raises:
            Refused: with the reason. This worker's part in the round is over then.
        """
        if step == GIVE_UP:
            self._rounds.abandon(round)
            return {}
        answer, to_peers = self._rounds.answer(step, round, message)
        self._send(round, to_peers, calling.report)
        return answer

    def deliver(self, calling: Calling, round: str, share: bytes) -> None:
        """Take another worker's share.

        Raises:
            Refused: with the reason. The round goes on without it.
        """
        self._rounds.deliver(str(calling.caller.id), round, share)

    def _send(self, round_id: str, to_peers: Mapping[str, bytes], report: Callable[[object], None]) -> None:
        """Deliver to all at the same time; returns when everything has arrived.

        A peer that is slow to answer is waited for as long as the connection to it says; meanwhile the coordinator
        hears of it, and does not take this worker for lost.
        """

        def send(peer: str, share: bytes) -> None:
            try:
                try:
                    self.peers[peer].call("deliver", round=round_id, share=share)
                except WorkerRestarted:  # since an earlier round; it knows this one, or says so
                    self.peers[peer].call("deliver", round=round_id, share=share)
            except (TransportError, Refused) as error:
                raise Refused(f"{self._me} cannot hand its share to {peer}: {error}") from error

        if not to_peers:
            return
        try:
            with ThreadPoolExecutor(len(to_peers)) as pool:
                sent = {pool.submit(send, peer, share): peer for peer, share in to_peers.items()}
                while waiting := wait(sent, _REPORT_SECONDS).not_done:
                    report({"waiting for": [sent[each] for each in waiting]})
                for each in sent:
                    each.result()
        except Refused:
            self._rounds.abandon(round_id)
            raise
