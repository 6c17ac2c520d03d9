"""Names as tensors of letters' numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from pisyft.learning.alphabet import TUTORIAL, Alphabet
from pisyft.learning.names import NamesError


@dataclass(frozen=True)
class Encoded:
    """Names as tensors. They are aligned at their last letter, so that the last step ends every name.

    Attributes:
        letters: int64, (longest name, names); the letters' numbers in the alphabet, 0 before a name begins.
        languages: int64, (names,); the index of each name's language.
    """

    letters: torch.Tensor
    languages: torch.Tensor

    def __len__(self) -> int:
        return len(self.languages)

    def choose(self, indices: torch.Tensor) -> Encoded:
        """These of the names, with no more padding than they need."""
        letters = self.letters[:, indices]
        return Encoded(letters[int((letters.sum(1) == 0).sum()) :], self.languages[indices])


def encode(names: Mapping[str, Sequence[str]], alphabet: Alphabet = TUTORIAL, seed: int | None = None) -> Encoded:
    """The names of all languages as tensors; shuffled, if there is a seed.

    Raises:
        NamesError: there are no names, or no letter of one is known.
    """
    pairs = [(alphabet.encode(name), index) for index, of_language in enumerate(names.values()) for name in of_language]
    if not pairs:
        raise NamesError("there are no names to encode")
    if seed is not None:
        random.Random(seed).shuffle(pairs)
    longest = max(len(name) for name, _ in pairs)
    padded = [[0] * (longest - len(name)) + name for name, _ in pairs]
    return Encoded(torch.tensor(padded).t().contiguous(), torch.tensor([index for _, index in pairs]))


def one_hot(letters: torch.Tensor, size: int) -> torch.Tensor:
    """Letters' numbers as vectors with a single one: float32, (..., size); padding is all zeros."""
    return functional.one_hot(letters, size + 1)[..., 1:].float()


def mask(letters: torch.Tensor) -> torch.Tensor:
    """1 where a name has a letter, 0 before it begins: float32, (..., 1)."""
    return (letters > 0).float().unsqueeze(-1)
