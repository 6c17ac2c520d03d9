"""What runs on a Pi: a guarded server that holds names and answers a coordinator's verbs."""

from __future__ import annotations

import functools
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import syft
import torch

from pisyft.aggregation.agreement import DEFAULT_MINIMUM, Ledger
from pisyft.audit import AuditLog
from pisyft.classroom import DEFAULT_FLOOR
from pisyft.contribution import Contribution
from pisyft.credentials import Credentials
from pisyft.learning.alphabet import TUTORIAL, Alphabet
from pisyft.learning.names import Parts, WatchedFolder
from pisyft.limits import Limits
from pisyft.owner import OwnersWord
from pisyft.participant import Participant
from pisyft.privacy import OPEN, POLICIES, GuardedWorker
from pisyft.release import ModelStore
from pisyft.status import StatusFile
from pisyft.transport.server import Calling

PING_BYTES = 2**20


def make_worker(
    worker_id: str,
    host: str,
    port: int,
    names: Parts,
    *,
    peers: Mapping[str, tuple[str, int]],
    models: str | Path,
    policy: str,
    minimum: int = DEFAULT_MINIMUM,
    allow_plain: bool = False,
    alphabet: Alphabet = TUTORIAL,
    folder: WatchedFolder | None = None,
    seed: int | None = None,
    verbose: bool = False,
    listener: socket.socket | None = None,
    credentials: Credentials | None = None,
    limits: Limits | None = None,
    floor: int = DEFAULT_FLOOR,
    audit: AuditLog | None = None,
) -> GuardedWorker:
    """Make a worker that holds names, ready to be started.

    Args:
        minimum: how many participants a secure sum must have for this worker to take part.
        seed: mixed into the order of the names; by default one that nobody knows, so that no coordinator can tell
            which names a step of training was about.
        credentials: the worker's in a classroom; who calls needs some of the same classroom.
        limits: how much of the worker its callers may take.
        floor: over how many names a figure must be to be told, at least.
        audit: where all requests are taken down.
        allow_plain: whether it takes part in sums that hide nothing, too.
        alphabet: the letters that names are spelled in.
        folder: where the names are from, if names that are added there are to be trained on.

    Raises:
        NamesError: there are no names to train on, or none to test on.
        PortInUse: the address is taken.
    """
    protocols = ("additive", "masks", "plain") if allow_plain else ("additive", "masks")
    ledger = Ledger(worker_id, peers, Path(models) / "rounds.jsonl", minimum, protocols)
    contribution = Contribution(ledger, credentials)
    if seed is None:
        seed = secrets.randbits(63)
    owner = OwnersWord(Path(models))
    store = ModelStore(models)
    status: StatusFile | None = None

    def tell(doing: Callable[[], str]) -> None:
        if status:  # not before it listens
            status.update(doing)

    participant = Participant(worker_id, names, seed, store, contribution, alphabet, folder, limits, floor, owner, tell)
    worker = GuardedWorker(
        _hook(policy),
        host,
        port,
        worker_id,
        policy=policy,
        owner=owner,
        verbs=_after_the_owner({**participant.verbs, "ping": ping}, owner, participant),
        peer_verbs=_after_the_owner({**contribution.peer_verbs, "ping": ping}, owner, participant),
        peers=peers,
        verbose=verbose,
        listener=listener,
        credentials=credentials,
        limits=limits,
        audit=audit,
    )
    contribution.peers.update(worker.peers)
    worker.bind()
    status = StatusFile(
        store.folder,
        worker=worker_id,
        host=worker.host,
        port=worker.port,
        policy=policy,
        alphabet=alphabet.name,
        floor=floor,
        names=str(folder.path.absolute()) if folder else None,
    )
    participant.tell_doing()
    if worker.policy.messages:
        worker.own_when_searched(functools.partial(participant.own_tensors, worker))
    return worker


def _after_the_owner(verbs: Mapping[str, Callable], owner: OwnersWord, participant: Participant) -> dict[str, Callable]:
    """These verbs, each of which hears first whether the worker is to forget something, and tells when it is done."""
    hearing = threading.Lock()

    def after(verb: Callable) -> Callable:
        @functools.wraps(verb)
        def heard(*args, **kwargs):
            with hearing:
                if owner.says_forget():
                    participant.forget()
            try:
                return verb(*args, **kwargs)
            finally:
                participant.tell_doing()

        return heard

    return {name: after(verb) for name, verb in verbs.items()}


def make_open_worker(worker_id: str, host: str, port: int, **options) -> GuardedWorker:
    """Make a worker that guards nothing and holds no names, for demonstrations.

    Args:
        options: `peers`, `verbose`, `listener`, `credentials`, `limits` and `audit`, as for `make_worker`.
    """
    ponging = {"ping": ping}
    worker = GuardedWorker(
        _hook(OPEN.name), host, port, worker_id, policy=OPEN.name, verbs=ponging, peer_verbs=ponging, **options
    )
    worker.bind()
    return worker


def _hook(policy: str) -> syft.TorchHook | None:
    """PySyft's hook, for a worker that takes pointers. Where a policy has none PyTorch stays as it is, and as fast."""
    if policy in POLICIES and not POLICIES[policy].messages:
        return None
    return syft.TorchHook(torch)


def ping(calling: Calling, payload: bytes = b"") -> dict:
    """What was sent, and this machine's clock in seconds: how far away is this worker, and is its clock right?

    Raises:
        ValueError: the payload is larger than `PING_BYTES`. An answer is kept in case that it is asked for again.
    """
    if not isinstance(payload, bytes) or len(payload) > PING_BYTES:
        raise ValueError(f"a payload is {PING_BYTES} bytes at most")
    return {"payload": payload, "time": time.time()}


def serve(worker: GuardedWorker) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return."""
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.start()
