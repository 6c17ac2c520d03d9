"""PySyft's serialization, without what a small message has no use for. What is written stays the same format."""

import builtins
import functools
import sys
import threading
from collections.abc import Mapping
from types import SimpleNamespace

import syft
from syft.serde import compression
from syft.serde.msgpack import native_serde, serde, torch_serde

from pisyft import untrusted
from pisyft.transport.errors import ProtocolError
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

        def without_code(state):
            return _WithoutCode(table(state)) if _reading.an_answer else table(state)

        return property(without_code if attribute == "_detailers" else table)

    for name, attribute in tables.items():
        setattr(serde.MsgpackGlobalState, name, direct(attribute))


def read_within_bounds() -> None:
    """Have messages decompressed and unpacked to so much and no more, whatever they say of themselves."""

    def unpack(binary: bytes, worker=None) -> object:
        return untrusted.unpackb(untrusted.decompress(binary, MAX_FRAME_BYTES), use_list=False)

    serde._deserialize_msgpack_binary = unpack


def read_types_without_importing() -> None:
    """Have the name of a type stand for one that is loaded: PySyft imports the module, which runs it."""

    def loaded(name: str) -> type | None:
        module, _, attribute = name.rpartition(".")
        found = getattr(sys.modules.get(module) if module else builtins, attribute, None)
        return found if isinstance(found, type) else None

    native_serde.pydoc = SimpleNamespace(locate=loaded)


class _Reading(threading.local):
    """What a thread reads."""

    an_answer = False


_reading = _Reading()


class _WithoutCode:
    """PySyft's table of how to read each kind of object, without the kinds that bring code along."""

    def __init__(self, readers: Mapping) -> None:
        self._readers = readers

    def __getitem__(self, code: object):
        reader = self._readers[code]
        if reader is torch_serde._detail_script_module:
            raise ProtocolError("an answer with a program in it, which is not loaded")
        return reader


def read_answer(data: bytes, worker=None) -> object:
    """What another worker has answered, serialized: a worker may be somebody else's, and its answer no program.

    Raises:
        ProtocolError: the answer has TorchScript in it.
    """
    _reading.an_answer = True
    try:
        return syft.serde.deserialize(data, worker=worker)
    finally:
        _reading.an_answer = False
