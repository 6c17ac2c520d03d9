"""A model that is there already, tested by the workers on their own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from syft.exceptions import GetNotPermittedError

from pisyft.attendance import Attendance
from pisyft.checkpoints import read_checkpoint
from pisyft.credentials import Credentials
from pisyft.learning.evaluation import Counts, add_up
from pisyft.release import ModelStore
from pisyft.secure_round import in_parallel
from pisyft.transport.errors import TransportError
from pisyft.untrusted import printable


class NobodyTells(Exception):
    """No worker could test the model. The text has each one's reason."""


@dataclass(frozen=True)
class Tested:
    """A model to test.

    Attributes:
        title: what it is, for people.
        name: the network's.
        weights: float32, (parameters,).
        languages, alphabet_digest: what its outputs and inputs mean, where that is known: a worker with others cannot
            test it.
    """

    title: str
    name: str
    weights: np.ndarray
    languages: tuple[str, ...] | None = None
    alphabet_digest: str = ""


@dataclass(frozen=True)
class Told:
    """What came of it.

    Attributes:
        counts: of the workers that told something, by id.
        reasons: why the others told nothing, by id.
    """

    model: Tested
    part: str
    counts: Mapping[str, Counts]
    reasons: Mapping[str, str]

    @property
    def together(self) -> Counts:
        """Of all workers that told something."""
        return add_up(self.counts.values())

    def as_answer(self) -> dict:
        """Figures as plain values: of each worker, and of all together."""
        return {
            "model": self.model.title,
            "part": self.part,
            "together": _figures(self.together),
            "workers": {worker: _figures(counts) for worker, counts in self.counts.items()},
            "reasons": dict(self.reasons),
        }


def released(folder: Path, version: int | None = None) -> Tested:
    """A released model: the one in use, or another version.

    Raises:
        ReleaseError: there is none.
    """
    card, weights = ModelStore(folder).load(version)
    title = printable(f"Version {card.version} of {card.date[:10]} ({card.model})")
    return Tested(title, card.model, weights, card.languages, card.alphabet_digest)


def of_run(file: Path) -> Tested:
    """The model in a checkpoint of a training run.

    Raises:
        CheckpointError: there is none.
    """
    checkpoint = read_checkpoint(file)
    name = str(checkpoint.settings.get("model", "tutorial"))
    weights = np.asarray(checkpoint.state["weights"], np.float32)
    return Tested(f"{file}, after round {checkpoint.round} ({name})", name, weights)


def evaluate(
    addresses: Mapping[str, tuple[str, int]], model: Tested, part: str = "test", credentials: Credentials | None = None
) -> Told:
    """Have every worker that can be reached test a model on a part of its names, all at the same time.

    Args:
        addresses: `(host, port)` by worker id.
        part: "train", "validation" or "test".
        credentials: the coordinator's in the workers' classroom.

    Raises:
        NobodyTells: not a single one could.
    """
    with Attendance(addresses, credentials) as attendance:
        attendance.ask()

        def ask(worker: str) -> Counts:
            client = attendance.present[worker]
            described = client.call("describe")
            if model.languages is not None and tuple(described["languages"]) != model.languages:
                raise ValueError("the model is for other languages than its names")
            if model.alphabet_digest not in ("", described["alphabet_digest"]):
                raise ValueError(f"the model spells names in other letters than {described['alphabet']}")
            return Counts.from_answer(client.call("evaluate", weights=model.weights, model=model.name, part=part))

        answers = in_parallel(ask, list(attendance.present))
        reasons = {worker: str(error) for worker, error in attendance.away.items()}
    for worker, answer in answers.items():
        if isinstance(answer, (TransportError, GetNotPermittedError, ValueError)):
            reasons[worker] = str(answer)
        elif isinstance(answer, Exception):
            raise answer
    counts = {worker: answer for worker, answer in answers.items() if isinstance(answer, Counts)}
    if not counts:
        told = [f"{worker}: {reason}" for worker, reason in reasons.items()]
        raise NobodyTells("\n".join(["no worker could test the model:", *told]))
    return Told(model, part, counts, reasons)


def _figures(counts: Counts) -> dict:
    return {
        "names": counts.names,
        "accuracy": counts.accuracy,
        "balanced_accuracy": counts.balanced_accuracy,
        "top3_accuracy": counts.top3_accuracy,
        "macro_f1": counts.macro_f1,
        "loss": counts.loss,
    }
