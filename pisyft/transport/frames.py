"""The frames of the wire protocol: bytes in, dataclasses out. Knows nothing of sockets, workers or PySyft.

One websocket message carries one frame, a msgpack array whose first element is the frame's code, or several requests
in a `Batch`. A connection begins with `Hello` and `Welcome`. Then each `Call`, and each `Request` that waits, is
answered by one `Result` or `Failure` with the same number; a call may have `Progress` first. Requests and calls are
executed in the order of their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import msgpack

from pisyft import untrusted
from pisyft.transport.errors import ProtocolError

# The websocket subprotocol. Whoever does not speak it learns so from the opening handshake.
PROTOCOL = "pisyft.1"
# The code with which a worker closes the connection of somebody it does not let in; the reason says why.
NOT_LET_IN = 4403
# The same for somebody who has gone over a limit.
OVER_LIMIT = 4429
MAX_FRAME_BYTES = 256 * 2**20
# Longer than any id is. Workers remember ids.
MAX_ID_LETTERS = 256

Id = int | str


@dataclass(frozen=True)
class Hello:
    """The first frame of a connection: who calls.

    Attributes:
        session: random bytes that name the caller's session, so that a request survives a broken connection.
        sender: the caller's worker id.
        peer: whether the caller is another worker of the federation, rather than a coordinator.
    """

    code: ClassVar[int] = 1
    session: bytes
    sender: Id
    peer: bool


@dataclass(frozen=True)
class Welcome:
    """The answer to `Hello`.

    Attributes:
        worker: the id of the worker that answers.
        incarnation: random bytes, new each time the worker starts.
    """

    code: ClassVar[int] = 2
    worker: Id
    incarnation: bytes


@dataclass(frozen=True)
class Request:
    """A serialized PySyft message.

    Attributes:
        number: counts up in a session; a repeated number is the same request, sent again.
        waits: whether the caller waits for an answer. Without one, a failure answers the next request that waits.
        discard: ids of objects that the caller holds no pointer to any more, to be removed first.
        returns: the ids that the caller has chosen for the results, which are unusable if the request fails.
        message: the message's bytes; empty to ask for nothing but an answer.
    """

    code: ClassVar[int] = 3
    number: int
    waits: bool
    discard: tuple[Id, ...]
    returns: tuple[Id, ...]
    message: bytes


@dataclass(frozen=True)
class Call:
    """A verb of the worker's, called by name. It is always waited for.

    Attributes:
        number: counts up with the requests of the session, and means the same.
        arguments: the packed arguments by name (`values.pack`).
    """

    code: ClassVar[int] = 7
    waits: ClassVar[bool] = True
    number: int
    verb: str
    arguments: bytes


@dataclass(frozen=True)
class Progress:
    """What a verb tells while it is at work; any number of them come before its `Result`.

    Attributes:
        number: of the call.
        value: a packed value (`values.pack`).
    """

    code: ClassVar[int] = 8
    number: int
    value: bytes


@dataclass(frozen=True)
class Batch:
    """Encoded requests and calls, one after the other."""

    code: ClassVar[int] = 6
    requests: tuple[bytes, ...]


@dataclass(frozen=True)
class Result:
    """The value that a request returned, serialized, or a call, packed."""

    code: ClassVar[int] = 4
    number: int
    value: bytes


@dataclass(frozen=True)
class Failure:
    """The exception that a request raised: its type by module and name, its text, and the serialized attributes.

    Attributes:
        number: of the request that waits for the answer.
        failed: of the request that raised it: the same, or an earlier one that did not wait. The one that waits has
            not been executed then.
    """

    code: ClassVar[int] = 5
    number: int
    failed: int
    module: str
    name: str
    text: str
    attributes: bytes


Frame = Hello | Welcome | Request | Call | Progress | Batch | Result | Failure

_FRAMES: dict[int, type[Frame]] = {
    frame.code: frame for frame in (Hello, Welcome, Request, Call, Progress, Batch, Result, Failure)
}
_TYPES: dict[str, type] = {"bytes": bytes, "str": str, "int": int, "bool": bool}
_FIELDS = {kind: tuple((field.name, str(field.type)) for field in fields(kind)) for kind in _FRAMES.values()}


def encode(frame: Frame) -> bytes:
    """The bytes of a frame."""
    return msgpack.packb((frame.code, *(getattr(frame, name) for name, _ in _FIELDS[type(frame)])))


def decode(data: bytes | str) -> Frame:
    """The frame that `encode` wrote.

    Raises:
        ProtocolError: the bytes are no frame.
    """
    if not isinstance(data, bytes):
        raise ProtocolError("a text message where a binary frame was expected")
    try:
        values = untrusted.unpackb(data, use_list=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not a frame: {error or 'no msgpack'}") from error
    if not isinstance(values, tuple) or not values or type(values[0]) is not int or values[0] not in _FRAMES:
        raise ProtocolError("not a frame: unknown code")
    kind = _FRAMES[values[0]]
    if len(values) != len(_FIELDS[kind]) + 1:
        raise ProtocolError(f"not a frame: {len(values) - 1} values for {kind.__name__}")
    for (name, type_name), value in zip(_FIELDS[kind], values[1:], strict=True):
        if not _is_of(type_name, value):
            raise ProtocolError(f"not a frame: {kind.__name__}.{name} is a {type(value).__name__}")
    return kind(*values[1:])


def _is_of(type_name: str, value: object) -> bool:
    if type_name.startswith("tuple["):
        each_type = type_name.removeprefix("tuple[").removesuffix(", ...]")
        return isinstance(value, tuple) and all(_is_of(each_type, each) for each in value)
    if isinstance(value, bool):  # a bool is an int in Python, not on this wire
        return type_name == "bool"
    if type_name == "Id":
        return is_id(value)
    return isinstance(value, _TYPES[type_name])


def is_id(value: object) -> bool:
    """Whether a value can be an id."""
    return type(value) is int or (type(value) is str and len(value) <= MAX_ID_LETTERS)
