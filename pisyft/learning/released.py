"""A released model, ready to guess. Needs neither PyTorch nor PySyft."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pisyft.learning.alphabet import Alphabet, alphabet_by_name
from pisyft.learning.runtime import Network, load_network
from pisyft.release import Card, ModelStore, ReleaseError


@dataclass(frozen=True)
class Released:
    """A model as its card says it is."""

    card: Card
    network: Network
    alphabet: Alphabet

    def guess(self, name: str, count: int = 3) -> list[tuple[float, str]]:
        """The `count` likeliest languages of a name, each with its log-probability.

        Raises:
            NamesError: no letter of the name is known.
        """
        values = self.network.log_probabilities(self.alphabet.encode(name))
        best = values.argsort(kind="stable")[::-1][:count]
        return [(float(values[index]), self.card.languages[index]) for index in best]


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
        network = load_network(card.model, weights, alphabet.size, len(card.languages))
    except ValueError as error:
        raise ReleaseError(f"version {card.version} does not fit this PiSyft: {error}") from error
    return Released(card, network, alphabet)
