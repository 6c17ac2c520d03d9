"""Fixed point that cannot lie: numbers as elements of a ring, and every number that does not fit is refused by name.

The convention is stated here once. A value x of a participant with weight w (the names it trained on) travels as the
integer round(w * x * 2**fraction_bits) modulo 2**ring_bits, and the weight itself travels behind the values, so that
one sum gives both the weighted total and the total weight.

The error of the weighted mean: each of n participants rounds by half a unit at most, and the sum is divided by the
total weight, which is n at least; so it is at most 2**-(fraction_bits + 1), and n * 2**-fraction_bits with a wide
margin for the float64 arithmetic around it (w * x has 53 bits and is divided by w again: clip * 2**-52).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pisyft.aggregation.errors import Refused

Ring = NDArray[np.unsignedinteger]
# The parameters of a model in their order: their shapes by name.
Layout = Mapping[str, tuple[int, ...]]

# Values that are worked on at a time: they stay in the processor's cache.
_CHUNK = 32768


@dataclass(frozen=True)
class FixedPoint:
    """How numbers travel in a round; part of what its participants agree on.

    Attributes:
        fraction_bits: binary places.
        clip: the largest absolute value that a parameter may have. Larger ones are refused, not cut.
        max_weight: the largest weight that a participant may have.
        ring_bits: 64 or 32; 32 halves what is sent, where the bounds allow it.
    """

    fraction_bits: int = 22
    clip: float = 1024.0
    max_weight: int = 2**20
    ring_bits: int = 64

    def check(self, participants: int) -> None:
        """Make sure that no sum over so many participants can overflow.

        Raises:
            Refused: it could, or a number is out of its range.
        """
        if self.ring_bits not in (32, 64):
            raise Refused(f"fixed point: a ring of {self.ring_bits} bits is not offered, only 32 and 64")
        if not 0 <= self.fraction_bits < 53 or not 0 < self.clip < math.inf or self.max_weight < 1:
            raise Refused(f"fixed point: {self} makes no sense")
        # In integers, which do not round, and one unit more for what is rounded.
        largest = max(math.ceil(self.max_weight * self.clip * 2**self.fraction_bits) + 1, self.max_weight)
        if participants * largest >= 2 ** (self.ring_bits - 1):
            raise Refused(
                f"fixed point: {participants} participants of weight {self.max_weight} with values up to {self.clip:g} "
                f"and {self.fraction_bits} binary places could overflow {self.ring_bits} bits: agree on fewer binary "
                "places, a smaller clip or a smaller max_weight"
            )

    @property
    def dtype(self) -> np.dtype:
        """Of ring elements: little-endian, as they travel."""
        return np.dtype(f"<u{self.ring_bits // 8}")

    def encode(self, values: NDArray[np.floating], weight: int, layout: Layout | None = None) -> Ring:
        """Weighted values as ring elements, the weight behind them, (values + 1,).

        Args:
            values: float, (values,).
            weight: from 1 to max_weight.
            layout: names the parameters, for the text of a refusal.

        Raises:
            Refused: a value is not a number, infinite or beyond the clip, or the weight out of its range.
        """
        if isinstance(weight, bool) or not isinstance(weight, (int, np.integer)) or not 1 <= weight <= self.max_weight:
            raise Refused(f"a weight must be a whole number from 1 to {self.max_weight}, not {weight}")
        encoded = np.empty(len(values) + 1, self.dtype)
        signed = encoded.view(f"<i{self.ring_bits // 8}")
        scale = float(int(weight) * 2**self.fraction_bits)
        for part in _parts(len(values)):
            chunk = values[part].astype(np.float64)
            # Written so that NaN, which is neither larger nor smaller, is refused too.
            if not (chunk.min() >= -self.clip and chunk.max() <= self.clip):
                raise Refused(self._objection(values, part.start, layout))
            np.rint(np.multiply(chunk, scale, out=chunk), out=chunk)
            signed[part] = chunk
        encoded[-1] = weight
        return encoded

    def _objection(self, values: NDArray[np.floating], start: int, layout: Layout | None) -> str:
        index = start + int(np.flatnonzero(~(np.abs(values[start:]) <= self.clip))[0])
        value = values[index]
        where = f"value {index}"
        for name, shape in (layout or {}).items():
            if index < math.prod(shape):
                where = f"parameter {name}, value {index}"
                break
            index -= math.prod(shape)
        if np.isfinite(value):
            return f"{where} is {value:g}, beyond the agreed {self.clip:g}: the sum could overflow"
        return f"{where} is {value:g}: the training has diverged; try a smaller learning rate"

    def decode(self, total: Ring, participants: int) -> tuple[NDArray[np.float64], int]:
        """The weighted mean, float64 (values,), and the total weight, of a sum over so many participants.

        Raises:
            Refused: it is no sum of encoded vectors. A sum of which a share or a mask is missing is uniformly random:
                that its weight and all its values lie within the bounds does not happen by chance.
        """
        weight = int(total[-1])
        if not participants <= weight <= participants * self.max_weight:
            raise Refused("what was added up is no sum of these participants' updates: a share or a mask is missing")
        mean = total[:-1].view(f"<i{self.ring_bits // 8}").astype(np.float64)
        mean /= float(weight * 2**self.fraction_bits)
        if not np.abs(mean).max(initial=0) <= self.clip + 1:
            raise Refused("what was added up is no sum of these participants' updates: a mean lies beyond the clip")
        return mean, weight


def _parts(length: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, length)) for start in range(0, length, _CHUNK))
