"""Bytes from somebody else: what is too much is refused before it is made."""

import zlib

import lz4.frame
import msgpack
import pytest

from pisyft import untrusted


def test_a_large_message_of_few_things_is_unpacked():
    value = {"weights": bytes(2**20), "names": ["a", "b"], "settings": {"batch_size": 32}}
    assert untrusted.unpackb(msgpack.packb(value)) == value
    assert untrusted.unpackb(msgpack.packb((bytes(2**20), (1, 2))), use_list=False) == (bytes(2**20), (1, 2))


@pytest.mark.parametrize(
    "value",
    [[None] * 2**19, [[]] * 2**18, [[None] * 2**9] * 2**10, {number: [] for number in range(2**18)}, [{}] * 2**18],
    ids=["long", "of lists", "nested", "dict", "of dicts"],
)
@pytest.mark.parametrize("use_list", [True, False])
def test_a_message_of_too_many_things_is_refused(value, use_list):
    with pytest.raises(ValueError, match=r"items in one message|exceeds max_"):
        untrusted.unpackb(msgpack.packb(value), use_list=use_list, strict_map_key=False)


@pytest.mark.parametrize("message", [b"(plain", b"*" + zlib.compress(b"plain"), b")" + lz4.frame.compress(b"plain")])
def test_a_message_is_decompressed_as_its_first_byte_says(message):
    assert untrusted.decompress(message, 5) == b"plain"


@pytest.mark.parametrize(
    "compress", [lambda data: b"*" + zlib.compress(data), lambda data: b")" + lz4.frame.compress(data)]
)
def test_a_message_that_is_longer_than_it_may_be_is_not_decompressed(compress):
    with pytest.raises(ValueError, match="more than 1000 bytes when it is decompressed"):
        untrusted.decompress(compress(bytes(10**7)), 1000)


@pytest.mark.parametrize(
    "message",
    [b"", b"x", b"\x00plain", b"*", b")", b"*no", b")no", b"*" + zlib.compress(b"plain")[:-3]],
)
def test_what_cannot_be_decompressed_is_told(message):
    with pytest.raises(ValueError, match="decompressed|compressed"):
        untrusted.decompress(message, 1000)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2**20, 0, 2**10)])
def test_a_shape_that_can_be(shape):
    untrusted.check_shape(shape)


@pytest.mark.parametrize("shape", [(0, 2**62), (2**40, 2), (1,) * 17, (-1,), (True,), (2.0,), ("2",)])
def test_a_shape_that_cannot_be(shape):
    with pytest.raises(ValueError, match="array|shape"):
        untrusted.check_shape(shape)
