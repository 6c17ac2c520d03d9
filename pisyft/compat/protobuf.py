"""PySyft's generated protobuf code, from 2020, under today's protobuf."""

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
