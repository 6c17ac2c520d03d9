"""A released model, ready to guess."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from pisyft.learning.alphabet import Alphabet, alphabet_by_name
from pisyft.learning.models import Model, make_model
from pisyft.learning.vectors import load_vector
from pisyft.release import Card, ModelStore, ReleaseError


@dataclass(frozen=True)
class Released:
    """A model as its card says it is."""

    card: Card
    model: Model
    alphabet: Alphabet


def load_released(folder: str | Path, version: int | None = None) -> Released:
    """The model in use of those in a folder, or another version of it.

    Raises:
        ReleaseError: there is none, or this PiSyft has no such model, or not with these letters.
        NamesError: this PiSyft has no such alphabet.
    """
    card, weights = ModelStore(folder).load(version)
    alphabet = alphabet_by_name(card.alphabet)
    if card.alphabet_digest not in ("", alphabet.digest()):
        raise ReleaseError(
            f"version {card.version} was trained with another alphabet {card.alphabet!r} than this PiSyft's"
        )
    try:
        model = load_vector(make_model(card.model, alphabet.size, len(card.languages)), torch.from_numpy(weights))
    except ValueError as error:
        raise ReleaseError(f"version {card.version} does not fit this PiSyft: {error}") from error
    return Released(card, model, alphabet)
