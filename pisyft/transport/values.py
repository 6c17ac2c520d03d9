"""Plain values and arrays as bytes: what verbs take and return. Checked before anything is allocated; nothing is code.

A value is None, a bool, an int of 64 bits, a float, a str, bytes, a list or a dict of them with str keys, or a NumPy
array of numbers. Tuples become lists.
"""

from __future__ import annotations

import math
import struct

import msgpack
import numpy as np

from pisyft import untrusted
from pisyft.transport.errors import ProtocolError

# A type's place in this list is its code on the wire: append only.
_DTYPES = tuple(np.dtype(name) for name in ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "u1", "?", "<f2", "<i2", "i1"))
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_ARRAY = 1
_MAX_DIMENSIONS = 8


def pack(value: object) -> bytes:
    """The bytes of a value.

    Raises:
        TypeError: it is, or holds, something else than the module's docstring lists.
    """
    return msgpack.packb(value, default=_pack_array, strict_types=False)


def unpack(data: bytes) -> object:
    """The value that `pack` wrote. Arrays are read-only views of `data`.

    Raises:
        ProtocolError: the bytes are no value.
    """
    try:
        return untrusted.unpackb(data, ext_hook=_unpack_array, strict_map_key=True)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not a value: {error or type(error).__name__}") from error


def _pack_array(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a {type(value).__name__} cannot be packed: use numbers, text, lists, dicts or NumPy arrays")
    dtype = value.dtype.newbyteorder("<")
    if dtype not in _CODES or value.ndim > _MAX_DIMENSIONS:
        raise TypeError(f"an array of {value.dtype} with {value.ndim} dimensions cannot be packed")
    header = struct.pack(f"<BB{value.ndim}Q", _CODES[dtype], value.ndim, *value.shape)
    return msgpack.ExtType(_ARRAY, header + np.ascontiguousarray(value, dtype).tobytes())


def _unpack_array(code: int, data: bytes) -> np.ndarray:
    if code != _ARRAY or len(data) < 2 or data[0] >= len(_DTYPES) or data[1] > _MAX_DIMENSIONS:
        raise ValueError("no array")
    dtype, dimensions = _DTYPES[data[0]], data[1]
    start = 2 + 8 * dimensions
    if len(data) < start:
        raise ValueError("no array: its shape is cut off")
    shape = struct.unpack_from(f"<{dimensions}Q", data, 2)
    untrusted.check_shape(shape)
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"no array: {len(data) - start} bytes for shape {shape} of {dtype}")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    if dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("no array: a bool is 0 or 1")
    return array
