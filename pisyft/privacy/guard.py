"""The guard of a Pi: who may ask for what, and every value before it leaves.

What it answers at all is its policy's to say (`policies`). Where pointers may compute on the names, what was computed
from names stays: what each message does is in `messages`. Three things leave such a worker: what came from a
coordinator in the first place, sums of shares to which every participant contributed, and what the worker's own verbs
return.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import syft
import torch
from syft.exceptions import GetNotPermittedError, ObjectNotFoundError
from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
from syft.serde.msgpack import torch_serde

from pisyft.limits import OverLimit
from pisyft.owner import OwnersWord
from pisyft.privacy import reading
from pisyft.privacy.labels import (
    PRIVATE,
    PUBLIC,
    Id,
    Label,
    LabelBook,
    Private,
    Share,
    leaves,
)
from pisyft.privacy.messages import PUBLIC_SHARE, GuardedMessageHandler
from pisyft.privacy.policies import POLICIES, STRICT, TEACH
from pisyft.refusals import NotPermitted
from pisyft.transport import WebsocketServerWorker
from pisyft.transport.client import PeerWorker
from pisyft.transport.errors import ProtocolError, UnknownPeer
from pisyft.transport.failures import is_for_callers
from pisyft.transport.server import Caller

logger = logging.getLogger(__name__)

_PAUSED_VERBS = frozenset({"fit", "evaluate", "aggregate", "deliver"})


class GuardedWorker(WebsocketServerWorker):
    """A websocket worker that guards private tensors.

    Args:
        policy: the name of one of POLICIES.
        owner: says when the worker is paused.
        hook, host, port, id, peers, verbs, ...: as for WebsocketServerWorker.
    """

    def __init__(
        self,
        hook,
        host: str,
        port: int,
        id: Id,
        *,
        policy: str = STRICT.name,
        owner: OwnersWord | None = None,
        **kwargs,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"there is no policy {policy!r}, only {', '.join(POLICIES)}")
        self.policy, self._owner = POLICIES[policy], owner
        super().__init__(hook, host, port, id, **kwargs)
        self.labels = LabelBook()
        self.participants = frozenset({self.id, *(peer.id for peer in self._peers)})
        self.own_ids: set[Id] = set()
        self._make_own: Callable[[], object] | None = None
        self.message_handlers = [GuardedMessageHandler(self.object_store, self)]
        # Labels last as long as these: PySyft drops the tensor that it has made a parameter of.
        self.arriving: list[torch.Tensor] = []
        self._receiving_from_itself = False
        self._label_of_operation: Label = PRIVATE
        _label_new_shares(self)
        _label_what_arrives(self)
        _check_what_leaves(self)
        reading.read_listed_kinds_only()

    def recv_msg(self, bin_message: bytes) -> bytes:
        self._check_that_pointers_are_allowed()
        return syft.serde.serialize(self.message_handlers[0].handle(self._read(bin_message)), worker=self)

    def _read(self, bin_message: bytes) -> object:
        """The message.

        Raises:
            ProtocolError: these bytes are none.
            Exception: what made an object fail that the message is about.
        """
        try:
            return syft.serde.deserialize(self.decompressed(bin_message), worker=self)
        except (GetNotPermittedError, ObjectNotFoundError, OverLimit, ProtocolError, UnknownPeer):
            raise
        except Exception as error:
            if any(error is reason for reason in self.object_store._reasons.values()):
                raise
            logger.info("not a message: %s", type(error).__name__)
            raise ProtocolError("these bytes are no message that this worker reads") from None

    def discard_objects(self, object_ids: tuple[Id, ...]) -> None:
        self._check_that_pointers_are_allowed()
        super().discard_objects(object_ids)

    def _check_that_pointers_are_allowed(self) -> None:
        """Before a message is even decoded."""
        if not self.policy.messages:
            raise NotPermitted(
                "pointers",
                f"{self.id} works under the policy {self.policy.name}, without pointers: it answers its verbs "
                f"({', '.join(sorted(self._verbs))}). Its owner can start it with --policy {TEACH.name}, for "
                "notebooks",
            )
        self._check_not_paused()

    def _check_not_paused(self) -> None:
        if self._owner is not None and self._owner.is_paused:
            raise NotPermitted(
                "paused", f"{self.id} is paused by its owner, who can say pisyft resume; it still answers describe"
            )

    def own(self, tensor: torch.Tensor, *tags: str) -> torch.Tensor:
        """Hold one of the worker's own tensors: private, found by its tags, changed or removed by nobody else.

        No caller's limits count it, also if it is made while one is served.

        Raises:
            GetNotPermittedError: the worker's policy guards nothing.
        """
        if not self.policy.guards:
            raise NotPermitted("names", f"{self.id} works under the policy {self.policy.name} and holds no names")
        self.object_store.keep(tensor)
        tensor.tag(*tags)  # which would store it as the caller's, were it not there yet
        self.labels[tensor] = PRIVATE
        self.own_ids.add(tensor.id)
        return tensor

    def own_when_searched(self, make: Callable[[], object]) -> None:
        """Have `make` called, which owns tensors, when one is first searched for: until then they take no memory.

        Should it fail, the next search calls it again.
        """
        self._make_own = make

    def search(self, query) -> list:
        if self._make_own is not None:
            self._make_own()
            self._make_own = None
        found = super().search(query)
        # Its own win: anybody may tag a tensor "#surnames", for others to take it for names.
        return [each for each in found if each.id in self.own_ids] or found

    def is_own(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is one of the worker's own, or a view of one."""
        return self.object_store.keeps(tensor)

    def may_leave(self, label: Label) -> bool:
        """Whether a value with this label may go to a coordinator."""
        if not self.policy.guards:
            return True
        if isinstance(label, Share):
            return len(self.participants) > 1 and label.contributors == self.participants
        return not isinstance(label, Private)

    def send_obj(self, obj: object, location):
        """PySyft's way for an object to another worker: closed to private values, so that shares of them go instead."""
        if any(isinstance(self.labels[leaf], Private) for leaf in leaves(obj)):
            raise NotPermitted(
                "send",
                f"{self.id} sends other workers shares of a secret, and nothing else: use fix_precision().share(...)",
            )
        return super().send_obj(obj, location)

    def _send_msg(self, message: bytes, location) -> bytes:
        if location is not self and not isinstance(location, PeerWorker):
            raise NotPermitted("send", f"{self.id} sends to its peers only, and {location!r} is none")
        return super()._send_msg(message, location)

    def _recv_msg(self, message: bytes) -> bytes:
        """What the worker sends itself: the share that it keeps."""
        self._receiving_from_itself = True
        try:
            return super()._recv_msg(message)
        finally:
            self._receiving_from_itself = False

    @property
    def computes_on_public_values(self) -> bool:
        """Whether the operation that is executed now has public inputs only."""
        return self._label_of_operation == PUBLIC

    @contextmanager
    def computing(self, label: Label) -> Iterator[None]:
        """Execute an operation whose inputs join to `label`."""
        self._label_of_operation = label
        try:
            yield
        finally:
            self._label_of_operation = PRIVATE

    def sender(self) -> Id | None:
        """The worker that the message under way comes from; None for a coordinator."""
        if self._receiving_from_itself:
            return self.id
        return self._caller.id if self._caller.is_peer else None

    def doing(self, what: str) -> None:
        """Say what the message under way asks for, in words that the audit log may have: none of the caller's own."""
        self._serving.doing = f"pointer: {what}"

    def check_caller(self, caller: Caller) -> None:
        """Refuse a caller that says it is a peer and is none of the configured ones, or is this worker.

        Its numbers would otherwise count as a contribution to a sum. (That it is the peer it says is for
        authentication to show.)
        """
        if caller.is_peer and (caller.id == self.id or caller.id not in self.participants):
            raise NotPermitted("peer", f"{caller.id} is no peer of {self.id}: start it with --peer to make it one")

    def find_verb(self, name: str, caller: Caller) -> Callable:
        self.check_caller(caller)
        verb = super().find_verb(name, caller)
        if name in _PAUSED_VERBS:
            self._check_not_paused()
        return verb

    def verbs_for(self, caller: Caller) -> Mapping[str, Callable]:
        listed = self.policy.peer_verbs if caller.is_peer else self.policy.verbs
        return {name: verb for name, verb in super().verbs_for(caller).items() if name in listed}

    def as_told(self, verb: str, error: Exception) -> Exception:
        return error if is_for_callers(error) else RuntimeError(f"{verb} failed: {type(error).__name__}")

    def check_sender(self) -> None:
        """`check_caller` for whoever the message under way comes from."""
        if not self._receiving_from_itself:
            self.check_caller(self._caller)


def _label_new_shares(worker: GuardedWorker) -> None:
    """Have shares that are made in this process labelled with the worker whose secret they are shares of."""
    generate = AdditiveSharingTensor.generate_shares

    @functools.wraps(generate)
    def generate_shares(self, secret, n_workers, random_type):
        shares = generate(self, secret, n_workers, random_type)
        for share in shares:
            if worker.computes_on_public_values:
                share.tags = {PUBLIC_SHARE}
                worker.labels[share] = PUBLIC
            else:
                worker.labels[share] = Share(frozenset({worker.id}))
        return shares

    AdditiveSharingTensor.generate_shares = generate_shares


def _label_what_arrives(worker: GuardedWorker) -> None:
    """Have tensors labelled as they are made from bytes, before anything else can be done with them."""
    deserialize = torch_serde._deserialize_tensor

    @functools.wraps(deserialize)
    def _deserialize_tensor(receiver, serializer, tensor_bytes):
        tensor = deserialize(receiver, serializer, tensor_bytes)
        if receiver is worker:
            sender = worker.sender()
            worker.labels[tensor] = PUBLIC if sender is None else Share(frozenset({sender}))
            worker.arriving.append(tensor)
        return tensor

    torch_serde._deserialize_tensor = _deserialize_tensor


def _check_what_leaves(worker: GuardedWorker) -> None:
    """Have tensors checked as they are written down, whatever wrote them: the last look before they leave."""
    serialize = torch_serde._serialize_tensor

    @functools.wraps(serialize)
    def _serialize_tensor(sender, tensor):
        if sender is worker and not hasattr(tensor, "child") and isinstance(worker.labels[tensor], Private):
            raise NotPermitted("private", f"a private value stays on {worker.id}, whatever it is part of")
        return serialize(sender, tensor)

    torch_serde._serialize_tensor = _serialize_tensor
