"""Somebody who knows the protocol, speaks it, and keeps to none of its rules."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import msgpack
import pytest
import syft
import torch
from syft.exceptions import GetNotPermittedError, ObjectNotFoundError
from syft.generic.pointers.pointer_tensor import PointerTensor
from syft.messaging.message import (
    ForceObjectDeleteMessage,
    GetShapeMessage,
    IsNoneMessage,
    ObjectMessage,
    ObjectRequestMessage,
    SearchMessage,
    TensorCommandMessage,
)
from syft.serde.compression import NO_COMPRESSION
from syft.serde.msgpack import serde
from websockets.sync.client import ClientConnection, connect

from pisyft.credentials import Credentials
from pisyft.privacy import OPEN, STRICT, TEACH
from pisyft.transport.errors import ProtocolError
from pisyft.transport.failures import rebuild
from pisyft.transport.frames import PROTOCOL, Call, Failure, Frame, Hello, Progress, Request, Result, decode, encode
from pisyft.transport.operation import Operation
from pisyft.transport.values import pack, unpack
from tests.helpers import PATIENCE_SECONDS

_CODES = {name: kind for kind, (name, _) in serde.msgpack_global_state.simplifiers.items()}


def code_of(kind: type) -> int:
    """The number by which PySyft writes down objects of a type."""
    return serde.msgpack_global_state.simplifiers[kind][0]


def text(value: str) -> tuple:
    """A text as PySyft writes it down."""
    return code_of(str), (value.encode(),)


def listed(*values) -> tuple:
    return code_of(tuple), values


def tensor(values, **options) -> torch.Tensor:
    return torch.tensor(values, **options)


@dataclass(frozen=True)
class There:
    """An object on the worker, as an attacker sees it: an id, and perhaps an attribute of it."""

    id: object
    worker: object
    attribute: str | None = None

    @property
    def written(self) -> tuple:
        """A pointer to it as PySyft writes it down, which the worker reads as the object itself."""
        attribute = None if self.attribute is None else text(self.attribute)
        worker = self.worker.written if isinstance(self.worker, There) else text(self.worker)
        id = self.id.written if isinstance(self.id, There) else self.id
        fields = (1, id, worker, attribute, None, False, None, None)
        return code_of(PointerTensor), fields


class Attacker:
    """A connection to one worker, over which anything may be sent.

    attacker.op("clone", attacker.names.letters)      has an operation executed; what its result is called there
    attacker.fetch(there)                             asks for a tensor

    Whatever the worker refuses is raised here, as its error.

    Args:
        address: host and port.
        worker: the worker's id.
        policy: of the worker.
        sender: whom the attacker says it is.
        peer: whether it says that it is another worker.
        credentials: its certificate, if it has one.
        session: the random bytes of its session, or of somebody else's.
    """

    def __init__(
        self,
        address: tuple[str, int],
        worker: str,
        policy: str = TEACH.name,
        sender: object = "me",
        peer: bool = False,
        credentials: Credentials | None = None,
        session: bytes | None = None,
        greet: bool = True,
    ) -> None:
        self.worker, self.policy = worker, policy
        self.numbers = itertools.count(1)
        self._until_closed = ExitStack()
        self.connection: ClientConnection = self._until_closed.enter_context(
            connect(
                f"{'wss' if credentials else 'ws'}://{address[0]}:{address[1]}",
                ssl=credentials.client_context() if credentials else None,
                server_hostname=worker if credentials else None,
                subprotocols=[PROTOCOL],  # type: ignore[list-item]
                compression=None,
                proxy=None,
                max_size=None,
                open_timeout=PATIENCE_SECONDS,
            )
        )
        if greet:
            self.send(Hello(session or os.urandom(16), sender, peer))  # type: ignore[arg-type]
            self.welcome = self.receive()

    def close(self) -> None:
        self._until_closed.close()

    def refuses(self, says: str = ".") -> AbstractContextManager:
        """The worker refuses, and says so under the policy teach; under strict it takes no pointers at all, and under
        open it has no names that an id could be of."""
        if self.policy == STRICT.name:
            return pytest.raises(GetNotPermittedError, match="under the policy strict, without pointers")
        if self.policy == OPEN.name:
            return pytest.raises((GetNotPermittedError, ObjectNotFoundError))
        return pytest.raises(GetNotPermittedError, match=says)

    def reads_nothing_of(self) -> AbstractContextManager:
        """The worker refuses a message, or reads none in what it was sent; under open, the names that are in it."""
        unread = (ProtocolError, GetNotPermittedError, TypeError)
        return pytest.raises((*unread, ObjectNotFoundError) if self.policy == OPEN.name else unread)

    # Frames

    def send(self, frame: Frame | bytes | str) -> None:
        self.connection.send(frame if isinstance(frame, (bytes, str)) else encode(frame))

    def receive(self) -> Frame:
        return decode(self.connection.recv(timeout=PATIENCE_SECONDS))

    def exchange(self, frame: Request | Call) -> bytes:
        """Send a request or call, and return what it returns; what it told before is in `told`."""
        self.send(frame)
        self.told: list = []
        while isinstance(answer := self.receive(), Progress):
            self.told.append(unpack(answer.value))
        assert isinstance(answer, (Result, Failure)), answer
        assert answer.number == frame.number
        self.last = answer
        if isinstance(answer, Failure):
            raise rebuild(answer, self.worker)
        return answer.value

    def call(self, verb: str, **arguments):
        return unpack(self.exchange(Call(next(self.numbers), verb, pack(arguments))))

    # PySyft's messages

    def ask(self, simple: object, discard: Iterable = (), returns: Iterable = ()) -> object:
        """Send what PySyft would make an object of, in its simple form; the answer in its simple form."""
        message = bytes([NO_COMPRESSION]) + msgpack.packb(simple)
        return self.ask_bytes(message, discard, returns)

    def ask_bytes(self, message: bytes, discard: Iterable = (), returns: Iterable = ()) -> object:
        answer = self.exchange(Request(next(self.numbers), True, tuple(discard), tuple(returns), message))
        return syft.serde.msgpack.serde._deserialize_msgpack_binary(answer, syft.local_worker) if answer else None

    def op(self, name: object, target: There | None = None, *args, ids: tuple | None = None, **kwargs) -> There:
        """Have an operation executed; its first result."""
        ids = (fresh_id(),) if ids is None else ids
        written = (
            self._argument(name),
            self._argument(target),
            self._argument(args),
            (code_of(dict), tuple((text(key), self._argument(value)) for key, value in kwargs.items())),
            self._argument(ids),
            False,
        )
        action = syft.execution.computation.ComputationAction
        self.ask((code_of(TensorCommandMessage), ((code_of(action), written),)))
        return There(ids[0], self.worker)

    def _argument(self, value: object) -> object:
        if isinstance(value, There):
            return value.written
        if isinstance(value, Written):
            return value.simple
        if isinstance(value, (tuple, list)):
            return code_of(type(value)), tuple(self._argument(each) for each in value)
        if isinstance(value, slice):
            return code_of(slice), tuple(self._argument(each) for each in (value.start, value.stop, value.step))
        return serde._simplify(syft.local_worker, value)

    def put(self, value: torch.Tensor, id: object = None, **fields) -> There:
        """Send a tensor, with its written fields (tags, description, ...) in place of what they should be."""
        id = fresh_id() if id is None else id
        kind, written = serde._simplify(syft.local_worker, value)
        names = ("id", "bytes", "chain", "grad", "tags", "description", "serializer", "origin", "id_at_origin")
        written = dict(zip(names, written, strict=True)) | {"id": id} | fields
        self.ask((code_of(ObjectMessage), ((kind, tuple(written.values())),)))
        return There(id, self.worker)

    def fetch(self, what: There | object) -> torch.Tensor:
        id = what.id if isinstance(what, There) else what
        value = self.ask((code_of(ObjectRequestMessage), (id, None, text(""))))
        return serde._detail(syft.local_worker, value)

    def shape(self, what: There | object) -> list[int]:
        id = what.id if isinstance(what, There) else what
        return serde._detail(syft.local_worker, self.ask((code_of(GetShapeMessage), (id,))))

    def is_none(self, what: There | object) -> object:
        id = what.id if isinstance(what, There) else what
        return self.ask((code_of(IsNoneMessage), (id,)))

    def delete(self, *ids: object) -> None:
        self.ask((code_of(ForceObjectDeleteMessage), (code_of(list), tuple(ids))))

    def search(self, *tags: object) -> list[There]:
        """What carries all these tags."""
        answer = self.ask((code_of(SearchMessage), (self._argument(list(tags)),)))
        return [There(id, self.worker) for id in _ids_in(answer)]

    @property
    def names(self) -> Names:
        """The worker's names, as pointers. Where a search finds none, the attacker guesses ids and goes on."""
        if self.policy != TEACH.name:
            return Names(*(There(fresh_id(), self.worker) for _ in range(3)))
        found = {tag: self.search("#surnames", "#train", tag) for tag in ("#letters", "#mask", "#languages")}
        return Names(*(each[0] for each in found.values()))

    @property
    def language(self) -> There:
        """One name's language, a tensor without dimensions."""
        return self.op("__getitem__", self.names.languages, 0)


@dataclass(frozen=True)
class Names:
    """(letters of a name, names, alphabet) one-hot, (letters, names, 1), (names,)."""

    letters: There
    mask: There
    languages: There


@dataclass(frozen=True)
class Written:
    """Something in PySyft's simple form, to stand where an argument stands."""

    simple: object


def fresh_id() -> int:
    return int.from_bytes(os.urandom(6), "big")


def _ids_in(simple: object) -> list:
    """The ids at their location of all pointers in an answer."""
    if isinstance(simple, (tuple, list)):
        if len(simple) == 2 and simple[0] == code_of(PointerTensor):
            return [simple[1][1]]
        return [id for each in simple for id in _ids_in(each)]
    return []


__all__ = ["Attacker", "Names", "Operation", "There", "Written", "code_of", "fresh_id", "listed", "tensor", "text"]
