"""A release to all workers or to none; to one that is away, when it returns. Seen from the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pisyft.release import Card, ModelStore, Pending, ReleaseError, Signature
from pisyft.secure_round import in_parallel
from pisyft.transport.errors import TransportError
from pisyft.transport.failures import carry

carry(ReleaseError)


@dataclass(frozen=True)
class Rollout:
    """Who has a release.

    Attributes:
        version: of the release.
        delivered: the workers that have put it to use.
        away: the workers that will receive it when they return.
    """

    version: int
    delivered: tuple[str, ...]
    away: tuple[str, ...]


def next_version(workers: Sequence, store: ModelStore) -> int:
    """A version that neither the coordinator nor any worker that can be reached has had."""
    told = _in_parallel(workers, lambda worker: worker.call("describe"))
    of_workers = [each["newest"] for each in told.values() if not isinstance(each, Exception)]
    return max([0, *of_workers, *store.versions()]) + 1


def roll_out(
    workers: Sequence,
    card: Card,
    weights: np.ndarray,
    store: ModelStore,
    key: Ed25519PrivateKey,
    away: Collection[str] = (),
) -> Rollout:
    """Release a model to all workers: each checks and stores it, and when all have, each puts it to use.

    A worker that refuses it stops the release everywhere; one that cannot be reached does not, and is remembered in
    the coordinator's store, where the model is kept, too. The decision, which is whom it is owed to, is on disk before
    the first worker hears of it, so that a coordinator that stops in between finishes with `deliver`.

    Args:
        workers: connected workers, as `Federation.workers`.
        card: with the version that all give it.
        store: the coordinator's own.
        key: signs the model.
        away: the ids of workers without a connection, which are remembered, too.

    Raises:
        ReleaseError: a worker refuses it, or none can be reached. Nobody uses it then.
    """
    digest = store.stage(card, weights)
    signature = Signature.of(digest, key)
    staged = _in_parallel(workers, lambda worker: _stage(worker, card, weights, signature))
    lost = [worker for worker, answer in staged.items() if isinstance(answer, TransportError)]
    refused = {worker: _refusal(answer, digest) for worker, answer in staged.items() if worker not in lost}
    refusals = {worker: reason for worker, reason in refused.items() if reason}
    if refusals or len(lost) == len(staged):
        present = [worker for worker in workers if str(worker.id) in refused]
        _in_parallel(present, lambda worker: worker.call("release", step="abort", digest=digest))
        store.abort(digest)
        if refusals:
            told = "; ".join(f"{worker}: {reason}" for worker, reason in refusals.items())
            raise ReleaseError(f"not released to anybody, since not everybody takes it. {told}")
        raise ReleaseError("not released: none of the workers can be reached")
    pending = Pending(store)
    everybody = [*staged, *away]
    pending.owe(everybody, card.version)
    store.commit(digest)
    ready = [worker for worker in workers if str(worker.id) not in lost]
    committed = _in_parallel(ready, lambda worker: worker.call("release", step="commit", digest=digest))
    return _settled(pending, card.version, everybody, committed)


def deliver(workers: Sequence, store: ModelStore, key: Ed25519PrivateKey) -> dict[str, int]:
    """Give workers that were away at a release what they have missed; the version that each has now, by its id.

    A version that the coordinator does not keep any more is replaced by its newest.

    Raises:
        ReleaseError: the coordinator's store is damaged.
    """
    pending = Pending(store)
    if (staged := store.staged()) and staged[0] in pending.versions().values():
        store.commit(staged[1])  # it was decided on, and the coordinator stopped just then
    pending.settle(store.versions())
    owed = pending.versions()
    missing = [worker for worker in workers if str(worker.id) in owed]
    models = {version: store.load(version) for version in {owed[str(worker.id)] for worker in missing}}

    def bring(worker) -> int:
        card, weights = models[owed[str(worker.id)]]
        digest = _stage(worker, card, weights, Signature.of(store.digest(card.version), key))
        return worker.call("release", step="commit", digest=digest)

    answers = _in_parallel(missing, bring)
    delivered = {worker: int(answer) for worker, answer in answers.items() if not isinstance(answer, Exception)}
    for worker, version in delivered.items():
        pending.delivered(worker, version)
    return delivered


def _stage(worker, card: Card, weights: np.ndarray, signature: Signature) -> str:
    return worker.call(
        "release",
        step="stage",
        card=card.as_answer(),
        weights=np.asarray(weights, "<f4"),
        signer=signature.signer,
        signature=signature.value,
    )


def _refusal(answer: object, digest: str) -> str | None:
    """Why a worker that has answered does not take the model."""
    if isinstance(answer, Exception):
        return str(answer)
    return None if answer == digest else "it has stored something else than was sent"


def _settled(pending: Pending, version: int, asked: Collection[str], committed: Mapping) -> Rollout:
    delivered = tuple(worker for worker, answer in committed.items() if not isinstance(answer, Exception))
    for worker in delivered:
        pending.delivered(worker, version)
    return Rollout(version, delivered, tuple(worker for worker in asked if worker not in delivered))


def _in_parallel(workers: Sequence, call: Callable) -> dict[str, Any]:
    """What a function returned or raised for each worker, by its id."""
    by_id = {str(worker.id): worker for worker in workers}
    return in_parallel(lambda worker: call(by_id[worker]), by_id)
