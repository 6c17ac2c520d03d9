"""Labels: what may be told of a value on a Pi, and how labels join when values are computed from values."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

Id = int | str


@dataclass(frozen=True)
class Public:
    """Came from a coordinator, or was computed from nothing else: may go back."""


@dataclass(frozen=True)
class Private:
    """The names on this Pi, and all that was computed from them: stays."""


@dataclass(frozen=True)
class Share:
    """Additive shares, added up: uniformly random until every participant's share is in the sum.

    Attributes:
        contributors: the workers whose secret has a share in it.
    """

    contributors: frozenset[Id]


Label = Public | Private | Share

PUBLIC, PRIVATE = Public(), Private()


def join(labels: Iterable[Label]) -> Label:
    """The label of what was computed from values with these labels: public only if all of them are."""
    return PUBLIC if all(isinstance(label, Public) for label in labels) else PRIVATE


def join_sum(left: Label, right: Label) -> Label:
    """The label of `left + right`: a sum of shares is a share, as long as nobody's secret is in it twice.

    With a secret twice in a sum, the difference of two complete sums would be that secret.
    """
    if isinstance(left, Share) and isinstance(right, Share) and not left.contributors & right.contributors:
        return Share(left.contributors | right.contributors)
    return join((left, right))


class LabelBook:
    """The labels of a worker's tensors, by the memory they use: a view has the label of what it is a view of.

    What is not in the book is private. An entry lasts as long as a tensor that was entered with it, so that memory
    that is used again never inherits a label.
    """

    def __init__(self) -> None:
        self._labels: dict[int, Label] = {}
        self._tensors: dict[int, int] = {}

    def __getitem__(self, tensor: torch.Tensor) -> Label:
        return self._labels.get(memory_of(tensor), PRIVATE)

    def __setitem__(self, tensor: torch.Tensor, label: Label) -> None:
        memory = memory_of(tensor)
        self._labels[memory] = label
        if getattr(tensor, "_labelled_memory", None) != memory:
            tensor._labelled_memory = memory  # type: ignore[attr-defined]
            self._tensors[memory] = self._tensors.get(memory, 0) + 1
            weakref.finalize(tensor, self._forget, memory).atexit = False

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return memory_of(tensor) in self._labels

    def _forget(self, memory: int) -> None:
        self._tensors[memory] -= 1
        if not self._tensors[memory]:
            del self._tensors[memory], self._labels[memory]


def memory_of(tensor: torch.Tensor) -> int:
    """What tells the memory of a tensor, and of all its views, from other memory as long as one of them lives."""
    return tensor.untyped_storage()._cdata


def leaves(value: object) -> Iterator[torch.Tensor]:
    """The tensors with elements in a value: at the end of PySyft's chains, and in lists, tuples, dicts and slices.

    Pointers have no elements here, so that an AdditiveSharingTensor, whose children are pointers, has no leaves.
    """
    if isinstance(value, torch.Tensor):  # first, since most are
        if hasattr(value, "child"):
            yield from leaves(value.child)
        else:
            yield value
    elif isinstance(value, (list, tuple, set)):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, dict):
        yield from leaves([*value, *value.values()])
    elif isinstance(value, slice):
        yield from leaves([value.start, value.stop, value.step])
    elif hasattr(value, "child"):
        yield from leaves(value.child)
