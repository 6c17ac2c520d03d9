"""Released models: is a model good enough, and where a Pi keeps the ones that were pushed to it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

_VERSION = re.compile(r"v(\d{4,})\.npz")


@dataclass(frozen=True)
class Card:
    """What is known of a released model.

    Attributes:
        version: counts up from 1 on each worker.
        model: the architecture's name.
        languages: what its outputs stand for, in order.
        accuracy: over the held-out names of all participants.
        participants: the workers whose names it was trained on.
        rounds: how many rounds of training.
    """

    version: int
    model: str
    languages: tuple[str, ...]
    accuracy: float
    participants: tuple[str, ...]
    rounds: int


class ModelStore:
    """The models that were released to a worker, in a folder: the numbers, and the card beside them."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def versions(self) -> list[int]:
        """The versions in the store, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(match[1]) for file in self.folder.iterdir() if (match := _VERSION.fullmatch(file.name)))

    def add(self, card: Card, weights: np.ndarray) -> None:
        """Store a model, completely or not at all.

        Args:
            weights: float32, (parameters,).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, weights=weights, card=np.array(json.dumps(asdict(card))))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._file(card.version))
        except BaseException:
            os.unlink(temporary)
            raise

    def load(self, version: int | None = None) -> tuple[Card, np.ndarray]:
        """A stored model; the newest, if no version is given.

        Raises:
            FileNotFoundError: there is no such version.
        """
        versions = self.versions()
        if not versions or (version is not None and version not in versions):
            raise FileNotFoundError(
                f"no released model in {self.folder}" + (f" of version {version}" if version else "")
            )
        with np.load(self._file(version or versions[-1]), allow_pickle=False) as stored:
            card = json.loads(str(stored["card"]))
            weights = stored["weights"]
        return Card(
            **{**card, "languages": tuple(card["languages"]), "participants": tuple(card["participants"])}
        ), weights

    def _file(self, version: int) -> Path:
        return self.folder / f"v{version:04d}.npz"


def good_enough(accuracies: Sequence[float], bar: float) -> bool:
    """Whether a model may be released: on every worker's held-out names its accuracy reaches the bar."""
    return bool(accuracies) and min(accuracies) >= bar
