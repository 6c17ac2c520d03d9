"""Pseudorandom ring vectors from 32-byte seeds: what shares and masks are made of.

The stream is ChaCha20 (RFC 8439): no Raspberry Pi before the 5 has AES instructions, and ChaCha20 needs none. Every
seed is used for one stream, so that the nonce may be zero.
"""

from __future__ import annotations

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from pisyft.aggregation.fixed_point import Ring

SEED_BYTES = 32

# As much stream as is made at a time: it stays in the processor's cache.
_CHUNK_BYTES = 2**18
_ZEROS = bytes(_CHUNK_BYTES)


def new_seed() -> bytes:
    """A seed from the operating system's generator."""
    return os.urandom(SEED_BYTES)


def add_stream(vector: Ring, seed: bytes, sign: int = 1) -> None:
    """Add the pseudorandom vector of a seed to a vector, or subtract it (`sign` -1), in place and in its ring."""
    stream = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()
    buffer = bytearray(_CHUNK_BYTES)
    randoms = np.frombuffer(buffer, vector.dtype)
    apply = np.add if sign > 0 else np.subtract
    for start in range(0, len(vector), len(randoms)):
        part = vector[start : start + len(randoms)]
        stream.update_into(memoryview(_ZEROS)[: part.nbytes], buffer)
        apply(part, randoms[: len(part)], out=part)
