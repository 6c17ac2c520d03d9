"""PySyft's generated protobuf code, from 2020, under today's protobuf."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="import-untyped, method-assign, attr-defined"

import functools
import os
import sys

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.BEFORE_IMPORT,
    upstream="protobuf 4 refuses code generated before protoc 3.19, except with its Python implementation",
    broke="`import syft_proto` fails: 'Descriptors cannot be created directly'",
)
def generated_code() -> None:
    loaded = sys.modules.get("google.protobuf.internal.api_implementation")
    if loaded is not None and loaded.Type() != "python":
        raise ImportError(
            "protobuf was imported before PySyft, with an implementation that refuses PySyft's generated code. "
            "Import pisyft and syft first, or set PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python."
        )
    os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"


@repair(
    Moment.BEFORE_IMPORT,
    upstream="protobuf 4 (4.25, not yet 3.20) takes `is_map_entry` from generated code, where that of 2020 lacks it",
    broke="maps become lists, so that plans, protocols and commands with keywords fail to be written as protobuf",
)
def map_entries() -> None:
    from google.protobuf import descriptor

    original = descriptor.Descriptor.__init__
    map_entry_option = b"8\001"

    @functools.wraps(original)
    def __init__(self, *args, **kwargs) -> None:
        original(self, *args, **kwargs)
        if kwargs.get("serialized_options") == map_entry_option:
            self._is_map_entry = True

    descriptor.Descriptor.__init__ = __init__


@repair(
    Moment.AFTER_IMPORT,
    upstream="protobuf 5 refuses `extend(None)` of a repeated field; it used to add nothing",
    broke="tensors without tags fail to be written as protobuf",
)
def extend_by_none() -> None:
    from google.protobuf.internal import containers

    original = containers.RepeatedScalarFieldContainer.extend

    @functools.wraps(original)
    def extend(self, elements) -> None:
        if elements is not None:
            original(self, elements)

    containers.RepeatedScalarFieldContainer.extend = extend
