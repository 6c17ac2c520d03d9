"""How good is a model on a set of names? Answered in counts, which add up over workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional

from pisyft.learning.encoding import Encoded, encode
from pisyft.learning.models import Model
from pisyft.learning.names import has_letters


@dataclass(frozen=True)
class Counts:
    """What is told about a model's guesses on a worker's names.

    Attributes:
        confusion: how many names of each language (row) were taken for each language (column).
        loss_sum: the sum over the names of the negative log-likelihood of the right language.
    """

    confusion: tuple[tuple[int, ...], ...]
    loss_sum: float

    @classmethod
    def from_answer(cls, answer: dict) -> Counts:
        """The counts that `as_answer` wrote."""
        return cls(tuple(map(tuple, answer["confusion"])), answer["loss_sum"])

    def as_answer(self) -> dict:
        """The counts as lists and numbers, as they travel between workers and processes."""
        return {"confusion": [list(row) for row in self.confusion], "loss_sum": self.loss_sum}

    @property
    def names(self) -> int:
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> float:
        """The part of the names whose language was guessed."""
        return sum(row[index] for index, row in enumerate(self.confusion)) / self.names

    @property
    def balanced_accuracy(self) -> float:
        """The mean over languages of the part of their names that was guessed; languages without names do not count."""
        recalls = [row[index] / sum(row) for index, row in enumerate(self.confusion) if sum(row)]
        return sum(recalls) / len(recalls)

    @property
    def loss(self) -> float:
        """The mean negative log-likelihood over the names."""
        return self.loss_sum / self.names

    def __add__(self, other: Counts) -> Counts:
        confusion = tuple(
            tuple(left + right for left, right in zip(*rows, strict=True))
            for rows in zip(self.confusion, other.confusion, strict=True)
        )
        return Counts(confusion, self.loss_sum + other.loss_sum)


def add_up(counts: Iterable[Counts]) -> Counts:
    """The counts of several workers together."""
    first, *others = counts
    for each in others:
        first = first + each
    return first


def count_guesses(model: Model, names: Encoded, n_languages: int) -> Counts:
    """Have the model guess the language of every name."""
    with torch.no_grad():
        output = model.log_probabilities(names.letters)
        loss_sum = functional.nll_loss(output, names.languages, reduction="sum").item()
    pairs = names.languages * n_languages + output.argmax(1)
    confusion = torch.bincount(pairs, minlength=n_languages**2).view(n_languages, n_languages)
    return Counts(tuple(map(tuple, confusion.tolist())), loss_sum)


def predict(model: Model, name: str, languages: list[str], count: int = 3) -> list[tuple[float, str]]:
    """The `count` likeliest languages of a name, each with its log-probability.

    Raises:
        ValueError: no letter of the name is known.
    """
    if not has_letters(name):
        raise ValueError(f"no letter of {name!r} is known: write it in Latin letters")
    with torch.no_grad():
        output = model.log_probabilities(encode({name: [name]}).letters)
    best = output[0].topk(min(count, len(languages)))
    return [(value, languages[index]) for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
