"""Plain values and arrays on the wire: what goes in comes out, and what is no value is refused."""

import contextlib
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pisyft.transport.errors import ProtocolError
from pisyft.transport.values import pack, unpack

DTYPES = ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "u1", "?", "<f2", "<i2", "i1")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def array_bytes(code: int, shape: tuple[int, ...], data: bytes) -> bytes:
    header = struct.pack(f"<BB{len(shape)}Q", code, len(shape), *shape)
    return msgpack.packb(msgpack.ExtType(1, header + data))


@given(PLAIN)
def test_plain_values_come_back(value):
    assert unpack(pack(value)) == value


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))))
def test_arrays_come_back_with_type_and_shape(array):
    back = unpack(pack({"array": array}))["array"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_big_endian_and_strided_arrays_come_back_as_the_same_numbers():
    array = np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2]
    assert unpack(pack(array)).tolist() == array.tolist()


def test_numbers_of_numpy_become_numbers_of_python():
    assert unpack(pack([np.float32(0.5), np.int64(3), np.bool_(True)])) == [0.5, 3, True]


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.array(["a"]), np.array([object()]), np.zeros(1, complex), 2**65]
)
def test_anything_else_is_not_packed(value):
    with pytest.raises((TypeError, OverflowError)):
        pack(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack([1, 2]) + b"\x00",
        msgpack.packb({1: 2}),
        msgpack.packb(msgpack.ExtType(2, b"")),
        array_bytes(0, (2,), b"\0" * 7),
        array_bytes(0, (2**62,), b""),
        array_bytes(0, (2**33, 2**33), b""),
        array_bytes(99, (0,), b""),
        array_bytes(7, (1,), b"\x02"),
        msgpack.packb(msgpack.ExtType(1, b"\x00\x03\x01")),
        b"\x91" * 100_000,
    ],
)
def test_bytes_that_are_no_value_are_refused(data):
    with pytest.raises(ProtocolError, match="not a value"):
        unpack(data)


@given(st.binary(max_size=64))
def test_random_bytes_are_a_value_or_refused(data):
    with contextlib.suppress(ProtocolError):
        unpack(data)
