"""Streams from seeds: the same for the same seed, exact with and against each other, and ChaCha20 as specified."""

import numpy as np
import pytest

from pisyft.aggregation.streams import add_stream, new_seed


@pytest.mark.parametrize("dtype", [np.uint64, np.uint32])
@pytest.mark.parametrize("length", [0, 1, 1000, 100_001])
def test_what_is_added_can_be_subtracted(dtype, length):
    seed = new_seed()
    vector = np.arange(length, dtype=dtype)

    add_stream(vector, seed)
    changed = vector.copy()
    add_stream(vector, seed, -1)

    assert length < 10 or not np.array_equal(changed, np.arange(length, dtype=dtype))
    assert np.array_equal(vector, np.arange(length, dtype=dtype))


def test_a_stream_is_chacha20s():
    """The keystream of a zero key and nonce: RFC 8439, appendix A.1, test vector 1."""
    vector = np.zeros(8, "<u8")

    add_stream(vector, bytes(32))

    assert vector.tobytes() == bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )


def test_a_long_stream_begins_like_a_short_one_and_never_repeats():
    seed = new_seed()
    short, long = np.zeros(10, np.uint64), np.zeros(200_000, np.uint64)

    add_stream(short, seed)
    add_stream(long, seed)

    assert np.array_equal(short, long[:10])
    assert len(np.unique(long)) == len(long)


def test_every_bit_is_one_half_of_the_time():
    vector = np.zeros(100_000, np.uint64)

    add_stream(vector, new_seed())

    ones = np.unpackbits(vector.view(np.uint8)).reshape(-1, 64).mean(0)
    # Nine standard deviations of a fair coin thrown 100,000 times.
    assert np.abs(ones - 0.5).max() < 9 * 0.5 / np.sqrt(100_000)


def test_seeds_are_new_each_time():
    assert len({new_seed() for _ in range(100)}) == 100
