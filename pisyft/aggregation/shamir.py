"""Shamir's secret sharing of 32-byte secrets: any `threshold` of the shares give the secret, fewer give nothing.

Shamir 1979, "How to share a secret". A secret is the value at 0 of a random polynomial of degree threshold - 1 over the
integers modulo a prime; a share is its value at the holder's number.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from pisyft.aggregation.errors import Refused

SECRET_BYTES = 32
SHARE_BYTES = 33
# The smallest prime above 2**256, so that every 32-byte secret is an element of the field.
PRIME = 2**256 + 297


def split(secret: bytes, holders: Sequence[int], threshold: int) -> dict[int, bytes]:
    """Shares of a secret, by the holders' numbers, which are different and not 0."""
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= len(set(holders)) or 0 in holders:
        raise ValueError(f"cannot split {len(secret)} bytes into {len(holders)} shares of which {threshold} suffice")
    polynomial = [int.from_bytes(secret, "big"), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    shares = {}
    for holder in holders:
        value = 0
        for coefficient in reversed(polynomial):
            value = (value * holder + coefficient) % PRIME
        shares[holder] = value.to_bytes(SHARE_BYTES, "big")
    return shares


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret of at least as many shares as its threshold, by the holders' numbers.

    Raises:
        Refused: the shares are not of one secret, as far as that can be seen.
    """
    # Lagrange's interpolation at 0; numerators and denominators are multiplied up to divide only once.
    product = 1
    for holder in shares:
        product = product * holder % PRIME
    secret = 0
    for holder, share in shares.items():
        denominator = holder
        for other in shares:
            if other != holder:
                denominator = denominator * (other - holder) % PRIME
        secret += int.from_bytes(share, "big") * product * pow(denominator, -1, PRIME)
    secret %= PRIME
    if secret >= 2 ** (8 * SECRET_BYTES):
        raise Refused("shares of different secrets were put together")
    return secret.to_bytes(SECRET_BYTES, "big")
