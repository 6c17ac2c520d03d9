"""What runs on a Pi: its names, the verbs that a coordinator may call, and the server that guards both."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import syft
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import encode, mask, one_hot
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import RNN
from pisyft.learning.names import NamesByLanguage, NamesError, hold_out, total
from pisyft.learning.vectors import load_vector
from pisyft.privacy import GuardedWorker
from pisyft.release import Card, ModelStore

# A count over fewer names than this could tell something about one of them.
MIN_NAMES = 10
TRAIN, HELD_OUT = "train", "held out"


class Participant:
    """One worker's part in a federation: names that stay, and answers about them in counts.

    Its methods without underscore are the verbs that a coordinator may call by name.

    Args:
        worker_id: the id of the worker.
        names: its names, by language.
        seed: chooses the names that are held out for evaluation.
        store: where released models go.
    """

    def __init__(self, worker_id: str, names: NamesByLanguage, seed: int, store: ModelStore) -> None:
        self._worker_id = worker_id
        self._languages = tuple(names)
        self._train, self._held_out = hold_out(names, seed=seed)
        if not total(self._held_out):
            raise NamesError(
                f"{worker_id} has one name of each language, so that none can be held out for evaluation: add names"
            )
        self._parts = {TRAIN: encode(self._train, seed=seed), HELD_OUT: encode(self._held_out)}
        self._store = store

    def describe(self) -> dict:
        """How many names there are, of which languages, and what the newest released model is."""
        return {
            "worker": self._worker_id,
            "languages": list(self._languages),
            "by_language": [len(self._train[language]) + len(self._held_out[language]) for language in self._languages],
            "train": total(self._train),
            "held_out": total(self._held_out),
            "released": max(self._store.versions(), default=0),
        }

    def evaluate(self, weights: torch.Tensor, part: str = HELD_OUT) -> dict:
        """Count the model's guesses on a part of the names ("held out" or "train").

        Args:
            weights: the model's parameters as one vector.
        """
        if part not in self._parts:
            raise ValueError(f"there is no part {part!r} of the names, only {' and '.join(self._parts)}")
        names = self._parts[part]
        if len(names.languages) < MIN_NAMES:
            raise GetNotPermittedError(
                f"{self._worker_id} evaluates on {MIN_NAMES} names or more, and has {len(names.languages)} {part}: "
                "give it more names"
            )
        return count_guesses(self._model(weights), names, len(self._languages)).as_answer()

    def release(self, weights: torch.Tensor, accuracy: float, participants: Sequence[str], rounds: int) -> int:
        """Store a model that is good enough; its version on this worker."""
        self._model(weights)  # does it fit?
        version = max(self._store.versions(), default=0) + 1
        card = Card(version, "tutorial", self._languages, accuracy, tuple(participants), rounds)
        self._store.add(card, weights.detach().numpy().astype(np.float32))
        return version

    def _model(self, weights: torch.Tensor) -> RNN:
        return load_vector(RNN(n_languages=len(self._languages)), weights)

    def _verbs(self) -> dict:
        return {"describe": self.describe, "evaluate": self.evaluate, "release": self.release}

    def _own_tensors(self, worker: GuardedWorker) -> None:
        """Register the names to train on, for pointers: found by tags, never fetched."""
        train = self._parts[TRAIN]
        worker.own(one_hot(train.letters, TUTORIAL.size), "#surnames", "#train", "#letters")
        worker.own(mask(train.letters), "#surnames", "#train", "#mask")
        worker.own(train.languages, "#surnames", "#train", "#languages")


def make_worker(
    worker_id: str,
    host: str,
    port: int,
    names: NamesByLanguage,
    *,
    peers: Mapping[str, tuple[str, int]],
    models: str | Path,
    seed: int = 0,
    verbose: bool = False,
    listener: socket.socket | None = None,
) -> GuardedWorker:
    """Make a worker that holds names, ready to be started.

    Raises:
        NamesError: there are no names to train on, or none to hold out.
        PortInUse: the address is taken.
    """
    participant = Participant(worker_id, names, seed, ModelStore(models))
    hook = syft.TorchHook(torch)
    worker = GuardedWorker(
        hook, host, port, worker_id, participant._verbs(), peers=peers, verbose=verbose, listener=listener
    )
    worker.bind()
    participant._own_tensors(worker)
    return worker


def serve(worker: GuardedWorker) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return."""
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.start()
