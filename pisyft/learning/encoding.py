"""Names as tensors."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pisyft.learning.names import LETTERS, NamesError, has_letters, normalise

_LETTER_INDEX = {letter: index for index, letter in enumerate(LETTERS)}


@dataclass(frozen=True)
class Encoded:
    """Names as tensors. They are aligned at their last letter, so that the last step ends every name.

    Attributes:
        letters: one-hot, float32, (longest name, names, letters); zeros before a name begins.
        mask: float32, (longest name, names, 1); 1 where a name has a letter.
        languages: int64, (names,); the index of each name's language.
    """

    letters: torch.Tensor
    mask: torch.Tensor
    languages: torch.Tensor


def encode(names: Mapping[str, Sequence[str]], seed: int | None = None) -> Encoded:
    """The names of all languages as tensors; shuffled, if there is a seed.

    Raises:
        NamesError: there are no names, or no letter of one is known.
    """
    for name in (name for of_language in names.values() for name in of_language):
        if not has_letters(name):
            raise NamesError(f"no letter of {name!r} is known: write it in Latin letters")
    pairs = [(normalise(name), index) for index, of_language in enumerate(names.values()) for name in of_language]
    if not pairs:
        raise NamesError("there are no names to encode")
    if seed is not None:
        random.Random(seed).shuffle(pairs)
    longest = max(len(name) for name, _ in pairs)
    letters = torch.zeros(longest, len(pairs), len(LETTERS))
    mask = torch.zeros(longest, len(pairs), 1)
    for column, (name, _) in enumerate(pairs):
        rows = torch.arange(longest - len(name), longest)
        letters[rows, column, torch.tensor([_LETTER_INDEX[letter] for letter in name])] = 1
        mask[rows, column] = 1
    return Encoded(letters, mask, torch.tensor([index for _, index in pairs]))
