"""Uniform integers for secret sharing, from the operating system or from a key that two workers share.

Knows nothing of PySyft. What it draws cannot be repeated by setting a seed, nor foretold from earlier draws.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import numpy as np
import torch

Source = Callable[[int], bytes]
"""Returns as many random bytes as it is asked for."""


class KeyedSource:
    """The bytes of SHAKE-256 in counter mode: for whoever lacks the key, no different from random ones."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._block = 0

    def __call__(self, count: int) -> bytes:
        self._block += 1
        return hashlib.shake_256(self._key + self._block.to_bytes(8, "little")).digest(count)


def integers(low: int, high: int, shape, dtype: torch.dtype = torch.int64, source: Source = os.urandom) -> torch.Tensor:
    """A tensor of `shape`, each element uniform in low <= n < high, where high - low is at most 2**64."""
    drawn = _below(high - low, torch.Size(shape).numel(), source)
    shifted = (drawn + np.uint64(low % 2**64)).view(np.int64)  # wraps around, as the ring of 64 bits does
    return torch.from_numpy(shifted).reshape(torch.Size(shape)).to(dtype)


def unsigned_integers(low: int, high: int, shape, dtype=np.uint64, source: Source = os.urandom) -> np.ndarray:
    """The same as a NumPy array, whose integers may be unsigned."""
    shape = tuple(np.atleast_1d(shape)) if shape is not None else ()
    drawn = _below(high - low, int(np.prod(shape, dtype=int)), source) + np.uint64(low % 2**64)
    return drawn.astype(dtype).reshape(shape)


def permutation(length: int, source: Source = os.urandom) -> torch.Tensor:
    """The numbers below `length` in an order of which each is as likely as the next."""
    # Sorting by 64 random bits each: that two are equal has a chance below length**2 / 2**65.
    return torch.argsort(integers(-(2**63), 2**63, (length,), source=source))


def _below(bound: int, count: int, source: Source) -> np.ndarray:
    """`count` numbers (uint64), each uniform in 0 <= n < bound, by drawing again what is too large."""
    if not 1 <= bound <= 2**64:
        raise ValueError(f"{bound} numbers to draw from: between 1 and 2**64 are possible")
    mask = np.uint64(2 ** (bound - 1).bit_length() - 1)

    def draw(how_many: int) -> np.ndarray:
        return np.frombuffer(source(8 * how_many), dtype="<u8") & mask

    drawn = draw(count)
    while (too_large := drawn > np.uint64(bound - 1)).any():
        drawn[too_large] = draw(int(too_large.sum()))
    return drawn
