"""Shamir's shares: enough of them give the secret, too few are random."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.aggregation.errors import Refused
from pisyft.aggregation.shamir import PRIME, SHARE_BYTES, combine, split


def test_the_modulus_is_a_prime():
    """By Fermat's and Miller and Rabin's test (Handbook of Applied Cryptography, algorithm 4.24)."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 60):
        power = pow(base, odd, PRIME)
        assert power in (1, PRIME - 1) or any((power := power * power % PRIME) == PRIME - 1 for _ in range(twos - 1))


@given(st.data())
def test_any_shares_as_many_as_the_threshold_give_the_secret(data):
    secret = data.draw(st.binary(min_size=32, max_size=32))
    holders = data.draw(st.lists(st.integers(1, 1000), min_size=1, max_size=20, unique=True))
    threshold = data.draw(st.integers(1, len(holders)))

    shares = split(secret, holders, threshold)
    enough = data.draw(st.permutations(holders))[:threshold]

    assert all(len(share) == SHARE_BYTES for share in shares.values())
    assert combine({holder: shares[holder] for holder in enough}) == secret
    assert combine(shares) == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_the_smallest_and_the_largest_secret_survive(secret):
    assert combine(split(secret, range(1, 6), 3)) == secret


def test_one_share_less_than_the_threshold_fits_every_secret():
    """With two points of a parabola, a third at 0 can be anything: no secret is ruled out."""
    first = split(bytes(32), [1, 2, 3], 3)
    forged = {}
    wanted = int.from_bytes(os.urandom(32), "big")
    # The parabola through (0, wanted), (1, y1), (2, y2), at 3: its third differences vanish.
    y1, y2 = int.from_bytes(first[1], "big"), int.from_bytes(first[2], "big")
    forged[3] = ((3 * y2 - 3 * y1 + wanted) % PRIME).to_bytes(SHARE_BYTES, "big")

    assert combine({1: first[1], 2: first[2], 3: forged[3]}) == wanted.to_bytes(32, "big")


def test_the_same_secret_is_shared_differently_each_time():
    secret = os.urandom(32)
    assert split(secret, [1, 2], 2) != split(secret, [1, 2], 2)


def test_shares_of_different_secrets_do_not_pass_for_a_secret_with_a_wrong_length():
    """Most mixtures are a number below the prime and so a wrong secret; the few above 2**256 are noticed."""
    with pytest.raises(Refused, match="different secrets"):
        combine({1: (PRIME - 1).to_bytes(SHARE_BYTES, "big")})


@pytest.mark.parametrize(
    ("secret", "holders", "threshold"), [(b"short", [1, 2], 2), (bytes(32), [1, 2], 3), (bytes(32), [0, 1], 2)]
)
def test_what_cannot_be_shared_is_refused(secret, holders, threshold):
    with pytest.raises(ValueError, match="cannot split"):
        split(secret, holders, threshold)
