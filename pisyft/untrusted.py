"""What somebody else sent: bytes, unpacked so that a small message is no large object, and texts, fit for a terminal.

Knows nothing of what they mean.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import lz4.frame
import msgpack

# An empty list is one byte on the wire and about 64 in memory. What is smaller than this cannot do harm that way.
_HARMLESS_BYTES = 64 * 2**10
MAX_ITEMS = 2**18
MAX_DIMENSIONS = 16
# Sizes of an array, multiplied as if none were zero: more than memory has.
_MAX_EXTENT = 2**40

# The first byte of PySyft's messages.
UNCOMPRESSED, _LZ4, _ZLIB = b"(", b")", b"*"


def unpackb(data: bytes, **options) -> Any:
    """`msgpack.unpackb` of at most MAX_ITEMS items in lists and dicts, which may be nested.

    Raises:
        ValueError: there are more, or the bytes are no msgpack.
    """
    if len(data) <= _HARMLESS_BYTES:
        return msgpack.unpackb(data, **options)
    left = MAX_ITEMS

    def count(container):
        nonlocal left
        left -= 1 + len(container)
        if left < 0:
            raise ValueError(f"more than {MAX_ITEMS} items in one message")
        return container

    bounds = {"max_array_len": MAX_ITEMS, "max_map_len": MAX_ITEMS, "list_hook": count, "object_hook": count}
    return msgpack.unpackb(data, **bounds, **options)


def decompress(message: bytes, limit: int) -> bytes:
    """The content of one of PySyft's messages, whose first byte says whether it is compressed.

    Args:
        limit: how many bytes it may have in the end.

    Raises:
        ValueError: it has more, or cannot be decompressed.
    """
    scheme, content = message[:1], memoryview(message)[1:]
    try:
        if scheme == UNCOMPRESSED:
            return bytes(content)
        if scheme == _LZ4:
            lz4_frame = lz4.frame.LZ4FrameDecompressor()
            plain, whole = lz4_frame.decompress(content, max_length=limit), lz4_frame.eof
        elif scheme == _ZLIB:
            stream = zlib.decompressobj()
            plain, whole = stream.decompress(content, limit), stream.eof
        else:
            raise ValueError("a message that does not say how it is compressed")
    except (RuntimeError, zlib.error) as error:
        raise ValueError(f"cannot be decompressed: {type(error).__name__}") from error
    if not whole:
        raise ValueError(f"cut off, or more than {limit} bytes when it is decompressed")
    return plain


def check_shape(shape: Sequence[int]) -> None:
    """Make sure that an array of this shape can be: also one without elements has strides, and loops over it.

    Raises:
        ValueError: it cannot.
    """
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"an array of {len(shape)} dimensions; {MAX_DIMENSIONS} is the most")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("a shape is whole numbers, none below 0")
    if math.prod(max(1, size) for size in shape) > _MAX_EXTENT:
        raise ValueError("an array of such a shape fits into no memory")


def printable(text: str) -> str:
    """A text that a terminal takes for nothing else: `?` for line ends, escape sequences and all that is not seen."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
