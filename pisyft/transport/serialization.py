"""PySyft's serialization, without what a small message has no use for. What is written stays the same format."""

import functools

from syft.serde import compression
from syft.serde.msgpack import serde

from pisyft import untrusted
from pisyft.transport.frames import MAX_FRAME_BYTES

# A message about one operation has 200 bytes. Compressing it takes longer than sending it.
_WORTH_COMPRESSING_BYTES = 2048


def leave_small_messages_uncompressed() -> None:
    """Compress what is large only. A message says in its first byte whether it is compressed."""
    compress = compression._apply_compress_scheme

    @functools.wraps(compress)
    def compress_what_is_large(data: bytes) -> tuple[bytes, int]:
        if len(data) < _WORTH_COMPRESSING_BYTES:
            return compression.apply_no_compression(data)
        return compress(data)

    compression._apply_compress_scheme = compress_what_is_large


def look_types_up_directly() -> None:
    """Read the tables of serializable types without asking each time whether a type was added since."""
    tables = {
        "simplifiers": "_simplifiers",
        "detailers": "_detailers",
        "forced_full_simplifiers": "_forced_full_simplifiers",
        "inherited_simplifiers_found": "_inherited_simplifiers_found",
        "no_simplifiers_found": "_no_simplifiers_found",
    }

    def direct(attribute: str) -> property:
        def table(state):
            if state.stale_state:
                state.update()
            return getattr(state, attribute)

        return property(table)

    for name, attribute in tables.items():
        setattr(serde.MsgpackGlobalState, name, direct(attribute))


def read_within_bounds() -> None:
    """Have messages decompressed and unpacked to so much and no more, whatever they say of themselves."""

    def unpack(binary: bytes, worker=None) -> object:
        return untrusted.unpackb(untrusted.decompress(binary, MAX_FRAME_BYTES), use_list=False)

    serde._deserialize_msgpack_binary = unpack
