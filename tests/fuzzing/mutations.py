"""Malformed inputs: real ones with a few bytes changed, cut, repeated or spliced. The same seed gives the same ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

# Ends of ranges, and msgpack's first bytes of what is long: texts, bytes, arrays, maps, extension types, numbers.
_TELLING = bytes([0, 1, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xC0, 0xC1, 0xC6, 0xC7, 0xC9, 0xCB, 0xCF, 0xD3, 0xD8, 0xDB])
_TELLING += bytes([0xDC, 0xDD, 0xDE, 0xDF, 0xFF])


def mutated(samples: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many malformed inputs, made from real ones."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(samples))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(6)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 1 and at < len(data):
                data[at] = chance.choice(_TELLING)
            elif kind == 2:
                del data[at : at + chance.choice((1, 2, 4, 64, 4096))]
            elif kind == 3:
                data[at:at] = chance.randbytes(chance.choice((1, 2, 8, 64)))
            elif kind == 4:
                data[at:at] = data[: chance.choice((1, 4, 32))] * chance.choice((1, 2, 16))
            else:
                other = chance.choice(samples)
                data[at:] = other[chance.randrange(len(other) + 1) :]
        yield bytes(data)
