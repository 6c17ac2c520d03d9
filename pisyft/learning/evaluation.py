"""How good is a model on a set of names? Answered in counts, which add up over workers.

No count that a worker tells is over fewer names than its floor, nor is the difference of two (`Counts.with_floor`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from pisyft.learning.alphabet import TUTORIAL, Alphabet
from pisyft.learning.encoding import Encoded, encode
from pisyft.learning.floors import told
from pisyft.learning.models import Model
from pisyft.learning.names import NamesError

# Guesses are sorted by the probability that the model gives them, in tenths.
BINS = 10
_BATCH = 512
_RESAMPLES = 1000
_Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


@dataclass(frozen=True)
class Measure:
    """A figure, and the interval that holds the true one with 95 % confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


@dataclass(frozen=True)
class Counts:
    """What is told about a model's guesses on a worker's names.

    Attributes:
        confusion: how many names of each language (row) were taken for each language (column).
        loss_sum: the sum over all names of the negative log-likelihood of the right language.
        top3: how many names have the right language among the three likeliest.
        bins: for each tenth of probability: how many guesses had it, how many of them were right, and the sum of their
            probabilities. Empty where it was not counted.
        pooled: how many names of small languages, which have no row, were taken for each language. Empty: there are
            none.
        pooled_right: how many of the pooled names were taken for their own language.
        pooled_languages: the indices of the languages that were pooled; on one of the workers, at least.
    """

    confusion: tuple[tuple[int, ...], ...]
    loss_sum: float
    top3: int = 0
    bins: tuple[tuple[int, int, float], ...] = ()
    pooled: tuple[int, ...] = ()
    pooled_right: int = 0
    pooled_languages: tuple[int, ...] = ()

    @classmethod
    def from_answer(cls, answer: dict) -> Counts:
        """The counts that `as_answer` wrote.

        Raises:
            ValueError: these are no counts.
        """
        try:
            counts = cls(
                tuple(tuple(map(int, row)) for row in answer["confusion"]),
                float(answer["loss_sum"]),
                int(answer["top3"]),
                tuple((int(names), int(right), float(total)) for names, right, total in answer["bins"]),
                tuple(map(int, answer["pooled"])),
                int(answer["pooled_right"]),
                tuple(map(int, answer["pooled_languages"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"these are no counts: {error!r}") from error
        size = len(counts.confusion)
        if any(len(row) != size for row in counts.confusion) or len(counts.pooled) not in (0, size):
            raise ValueError("these are no counts: as many guesses as languages belong to every row")
        return counts

    def as_answer(self) -> dict:
        """The counts as lists and numbers, as they travel between workers and processes."""
        return {
            "confusion": [list(row) for row in self.confusion],
            "loss_sum": self.loss_sum,
            "top3": self.top3,
            "bins": [list(each) for each in self.bins],
            "pooled": list(self.pooled),
            "pooled_right": self.pooled_right,
            "pooled_languages": list(self.pooled_languages),
        }

    def with_floor(self, floor: int) -> Counts:
        """These counts, told so that none is about fewer than `floor` names.

        Languages with fewer names lose their row: their names are pooled, of which only the guesses and how many were
        right are told. Were the pool itself too small, the smallest other row would join it, since all names minus the
        rows are the pool. Bins with fewer guesses join the next. So all counts stay as they were; the loss, and
        probabilities, are told as means of four digits.

        Raises:
            ValueError: there are fewer names than that in all.
        """
        if self.names < floor:
            raise ValueError(f"{self.names} names are too few to tell anything about: {floor} are needed")
        sizes = [sum(row) for row in self.confusion]
        smallest_first = sorted((index for index, size in enumerate(sizes) if size), key=lambda index: sizes[index])
        pooled: list[int] = []
        for index in smallest_first:
            if sizes[index] >= floor and (not pooled or sum(sizes[each] for each in pooled) >= floor):
                break
            pooled.append(index)
        loss_sum = told(self.loss) * self.names
        bins = tuple(
            (names, right, told(total / max(names, 1)) * names) for names, right, total in _merged(self.bins, floor)
        )
        if not pooled:
            return Counts(self.confusion, loss_sum, self.top3, bins)
        rows = [self.confusion[index] for index in pooled]
        return Counts(
            tuple((0,) * len(row) if index in pooled else row for index, row in enumerate(self.confusion)),
            loss_sum,
            self.top3,
            bins,
            tuple(map(sum, zip(*rows, strict=True))),
            sum(self.confusion[index][index] for index in pooled),
            tuple(sorted(pooled)),
        )

    @property
    def names(self) -> int:
        return sum(map(sum, self.confusion)) + sum(self.pooled)

    @property
    def right(self) -> int:
        """How many names were taken for their own language."""
        return sum(row[index] for index, row in enumerate(self.confusion)) + self.pooled_right

    @property
    def accuracy(self) -> float:
        """The part of the names whose language was guessed."""
        return self.right / self.names

    @property
    def top3_accuracy(self) -> float:
        """The part of the names whose language was among the three likeliest."""
        return self.top3 / self.names

    @property
    def tells_languages(self) -> bool:
        """Whether any language has a row: figures that are means over languages tell something only then."""
        return any(map(sum, self.confusion))

    @property
    def balanced_accuracy(self) -> float:
        """The mean over languages of the part of their names that was guessed; languages without names do not count.

        A language that has no row anywhere, since every worker pooled it, counts with the part of all pooled names.
        """
        return float(_mean_over_languages(self._recalls(*self._arrays())))

    @property
    def macro_f1(self) -> float:
        """The mean over languages of the harmonic mean of precision and recall; pooled languages are one class."""
        return float(_mean_over_languages(self._f1(*self._arrays())))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: how far, on average over the guesses, their probability is from being right.

        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2, with bins of equal width.
        """
        return sum(abs(right - total) for _, right, total in self.bins) / self.names

    @property
    def loss(self) -> float:
        """The mean negative log-likelihood over the names."""
        return self.loss_sum / self.names

    def recalls(self) -> list[float | None]:
        """For each language, the part of its names that was guessed; None for one without a row."""
        return [row[index] / sum(row) if sum(row) else None for index, row in enumerate(self.confusion)]

    def measures(self) -> dict[str, Measure]:
        """All figures with intervals of 95 % confidence, by name.

        Accuracy and top-3 accuracy have Wilson's score interval (1927). The others have percentiles of 1000 bootstrap
        samples, drawn within each language for balanced accuracy and F1, and over the guesses for calibration (Efron
        and Tibshirani 1993, chapter 13); the same counts always give the same. Balanced accuracy and F1 are left out
        where all languages are pooled: they would be the accuracy again.
        """
        generator = np.random.default_rng(0)
        confusion, pooled, pooled_right = self._arrays()
        drawn = (
            np.stack([_multinomial(generator, row) for row in confusion], axis=1),
            _multinomial(generator, pooled),
            generator.binomial(pooled.sum(), pooled_right / max(pooled.sum(), 1), _RESAMPLES),
        )
        measures = {"accuracy": _wilson(self.right, self.names)}
        if self.tells_languages:
            recalls, f1 = self._recalls(*drawn), self._f1(*drawn)
            measures["balanced_accuracy"] = _percentiles(self.balanced_accuracy, _mean_over_languages(recalls))
            measures["macro_f1"] = _percentiles(self.macro_f1, _mean_over_languages(f1))
        measures["top3_accuracy"] = _wilson(self.top3, self.names)
        if self.bins:
            names, right, total = (np.array(column, dtype=float) for column in zip(*self.bins, strict=True))
            held = names > 0
            drawn_names = _multinomial(generator, names)
            drawn_right = generator.binomial(drawn_names, np.divide(right, names, out=np.zeros_like(right), where=held))
            confidence = np.divide(total, names, out=np.zeros_like(total), where=held)
            errors = np.abs(drawn_right - drawn_names * confidence).sum(1) / self.names
            measures["calibration_error"] = _percentiles(self.calibration_error, errors)
        return measures

    def __add__(self, other: Counts) -> Counts:
        confusion = tuple(
            tuple(left + right for left, right in zip(*rows, strict=True))
            for rows in zip(self.confusion, other.confusion, strict=True)
        )
        return Counts(
            confusion,
            self.loss_sum + other.loss_sum,
            self.top3 + other.top3,
            tuple((a + x, b + y, c + z) for (a, b, c), (x, y, z) in _pairs(self.bins, other.bins, (0, 0, 0.0))),
            tuple(left + right for left, right in _pairs(self.pooled, other.pooled, 0)),
            self.pooled_right + other.pooled_right,
            tuple(sorted({*self.pooled_languages, *other.pooled_languages})),
        )

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Confusion (languages, languages), pooled guesses (languages,), and how many of them are right ()."""
        size = len(self.confusion)
        return np.array(self.confusion), np.array(self.pooled or (0,) * size), np.array(self.pooled_right)

    def _recalls(self, confusion: np.ndarray, pooled: np.ndarray, pooled_right: np.ndarray) -> np.ndarray:
        """(..., languages); not a number for a language without names."""
        return self._with_pool(
            _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1)),
            _ratio(pooled_right, pooled.sum(-1)),
        )

    def _f1(self, confusion: np.ndarray, pooled: np.ndarray, pooled_right: np.ndarray) -> np.ndarray:
        """(..., languages); not a number for a language without names."""
        names, guessed = confusion.sum(-1), confusion.sum(-2) + pooled
        right = np.diagonal(confusion, axis1=-2, axis2=-1)
        f1 = np.where(names > 0, _ratio(2 * right, names + guessed), np.nan)
        guessed_pool = guessed[..., list(self.pooled_languages)].sum(-1)
        return self._with_pool(f1, _ratio(2 * pooled_right, pooled.sum(-1) + guessed_pool))

    def _with_pool(self, of_languages: np.ndarray, of_pool: np.ndarray) -> np.ndarray:
        of_languages = of_languages.copy()
        for index in self.pooled_languages:
            if not sum(self.confusion[index]):
                of_languages[..., index] = of_pool
        return of_languages


def add_up(counts: Iterable[Counts]) -> Counts:
    """The counts of several workers together."""
    first, *others = counts
    for each in others:
        first = first + each
    return first


def count_guesses(model: Model, names: Encoded, n_languages: int) -> Counts:
    """Have the model guess the language of every name.

    Raises:
        NamesError: there are no names.
    """
    if not len(names):
        raise NamesError("there are no names to evaluate on")
    outputs = []
    with _evaluating(model):
        for indices in torch.arange(len(names)).split(_BATCH):
            outputs.append(model.log_probabilities(names.choose(indices).letters))
    output = torch.cat(outputs)
    guesses = output.argmax(1)
    right = guesses == names.languages
    confusion = torch.bincount(names.languages * n_languages + guesses, minlength=n_languages**2)
    likeliest = output.topk(min(3, n_languages), dim=1).indices
    probability = output.max(1).values.double().exp().nan_to_num(0.0)
    tenth = (probability * BINS).long().clamp(0, BINS - 1)
    bins = zip(
        torch.bincount(tenth, minlength=BINS).tolist(),
        torch.bincount(tenth, right.double(), minlength=BINS).long().tolist(),
        torch.bincount(tenth, probability, minlength=BINS).tolist(),
        strict=True,
    )
    return Counts(
        tuple(map(tuple, confusion.view(n_languages, n_languages).tolist())),
        functional.nll_loss(output.double(), names.languages, reduction="sum").item(),
        int((likeliest == names.languages.unsqueeze(1)).sum()),
        tuple(bins),
    )


def predict(
    model: Model, name: str, languages: Sequence[str], count: int = 3, alphabet: Alphabet = TUTORIAL
) -> list[tuple[float, str]]:
    """The `count` likeliest languages of a name, each with its log-probability.

    Raises:
        NamesError: no letter of the name is known.
    """
    letters = encode({"": [name]}, alphabet).letters
    with _evaluating(model):
        output = model.log_probabilities(letters)
    best = output[0].topk(min(count, len(languages)))
    return [(value, languages[index]) for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Without dropout and gradients; the model is then as before."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _merged(bins: Sequence[tuple[int, int, float]], floor: int) -> tuple[tuple[int, int, float], ...]:
    """The bins, of which each that has too few guesses joins the next that has more, or the last one that had."""
    merged = [(0, 0, 0.0)] * len(bins)
    names, right, total = 0, 0, 0.0
    last = None
    for index, each in enumerate(bins):
        names, right, total = names + each[0], right + each[1], total + each[2]
        if names >= floor:
            merged[index] = (names, right, total)
            names, right, total, last = 0, 0, 0.0, index
    if names and last is not None:
        held = merged[last]
        merged[last] = (held[0] + names, held[1] + right, held[2] + total)
    return tuple(merged)


def _pairs(left: Sequence, right: Sequence, nothing: object) -> Iterable[tuple]:
    """Values that belong together, where one of the two may be empty."""
    return zip(left or [nothing] * len(right), right or [nothing] * len(left), strict=True)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Not a number where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=np.asarray(whole) > 0)


def _mean_over_languages(values: np.ndarray) -> np.ndarray:
    return np.nanmean(values, axis=-1)


def _multinomial(generator: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Bootstrap samples of counts: (samples, len(counts))."""
    total = int(counts.sum())
    return generator.multinomial(total, counts / max(total, 1) if total else np.eye(len(counts))[0], _RESAMPLES)


def _percentiles(value: float, samples: np.ndarray) -> Measure:
    low, high = np.nanpercentile(samples, (2.5, 97.5))
    return Measure(value, float(low), float(high))


def _wilson(right: int, names: int) -> Measure:
    """E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference"."""
    part, z2 = right / names, _Z**2
    centre = (part + z2 / (2 * names)) / (1 + z2 / names)
    half = _Z / (1 + z2 / names) * (part * (1 - part) / names + z2 / (4 * names**2)) ** 0.5
    return Measure(part, min(centre - half, part) if right else 0.0, max(centre + half, part) if right < names else 1.0)
