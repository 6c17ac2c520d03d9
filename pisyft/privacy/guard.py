"""The guard of a Pi: sees every message before it is executed, and every value before it leaves.

What it answers at all is its policy's to say (`policies`). Where pointers may compute on the names, what was computed
from names stays. Three things leave such a worker: what came from a coordinator in the first place, sums of shares to
which every participant contributed, and what the worker's own verbs return.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import syft
import torch
from syft.exceptions import GetNotPermittedError, ObjectNotFoundError, ResponseSignatureError
from syft.execution.computation import ComputationAction
from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
from syft.generic.frameworks.hook import hook_args
from syft.messaging.message import (
    ForceObjectDeleteMessage,
    GetShapeMessage,
    IsNoneMessage,
    Message,
    ObjectMessage,
    ObjectRequestMessage,
    SearchMessage,
    TensorCommandMessage,
)
from syft.serde.msgpack import torch_serde
from syft.workers.message_handler import BaseMessageHandler

from pisyft.limits import OverLimit
from pisyft.owner import OwnersWord
from pisyft.privacy import operations, reading
from pisyft.privacy.foretelling import Foretelling
from pisyft.privacy.labels import (
    PRIVATE,
    PUBLIC,
    Id,
    Label,
    LabelBook,
    Private,
    Share,
    join,
    join_sum,
    leaves,
    memory_of,
)
from pisyft.privacy.policies import POLICIES, STRICT, TEACH
from pisyft.refusals import NotPermitted
from pisyft.transport import WebsocketServerWorker
from pisyft.transport.client import PeerWorker
from pisyft.transport.errors import ProtocolError, TransportError, UnknownPeer
from pisyft.transport.failures import is_for_callers
from pisyft.transport.server import Caller

logger = logging.getLogger(__name__)

# Carried by shares of a value that is public, so that who receives them does not take them for a contribution.
_PUBLIC_SHARE = "#share-of-a-public-value"


_PAUSED_VERBS = frozenset({"fit", "evaluate", "aggregate", "deliver"})
# What the audit log calls them.
_MESSAGES = {
    TensorCommandMessage: "command",
    ObjectMessage: "send",
    ObjectRequestMessage: "get",
    ForceObjectDeleteMessage: "delete",
    IsNoneMessage: "is none",
    GetShapeMessage: "shape",
    SearchMessage: "search",
}


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
        self._own_memory: set[int] = set()
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

        Raises:
            GetNotPermittedError: the worker's policy guards nothing.
        """
        if not self.policy.guards:
            raise NotPermitted("names", f"{self.id} works under the policy {self.policy.name} and holds no names")
        tensor.owner = self
        tensor.tag(*tags)
        self.object_store.set_obj(tensor)
        self.labels[tensor] = PRIVATE
        self.own_ids.add(tensor.id)
        self._own_memory.add(memory_of(tensor))
        return tensor

    def own_when_searched(self, make: Callable[[], object]) -> None:
        """Have `make` called, which owns tensors, when one is first searched for: until then they take no memory."""
        self._make_own = make

    def search(self, query) -> list:
        make, self._make_own = self._make_own, None
        if make is not None:
            make()
        found = super().search(query)
        # Its own win: anybody may tag a tensor "#surnames", for others to take it for names.
        return [each for each in found if each.id in self.own_ids] or found

    def is_own(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is one of the worker's own, or a view of one."""
        return memory_of(tensor) in self._own_memory

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

    def doing(self, message: Message) -> None:
        """Say what a message asks for, in words that the audit log may have: none of the caller's own."""
        what = _MESSAGES[type(message)]
        if isinstance(message, TensorCommandMessage) and isinstance(message.action, ComputationAction):
            name = message.action.name
            is_listed = name in self.policy.methods or name in self.policy.functions
            what = name if is_listed else "an operation that is not listed"
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
                share.tags = {_PUBLIC_SHARE}
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


class GuardedMessageHandler(BaseMessageHandler):
    """PySyft's message handler behind the guard. A message type that is not named here is refused."""

    def __init__(self, object_store, worker: GuardedWorker) -> None:
        super().__init__(object_store, worker)
        self._foretelling = Foretelling(functools.partial(_find, worker))

    def init_routing_table(self) -> dict:
        return {
            TensorCommandMessage: self.execute_tensor_command,
            ObjectMessage: self.handle_object_msg,
            ObjectRequestMessage: self.respond_to_obj_req,
            ForceObjectDeleteMessage: self.handle_force_delete_object_msg,
            IsNoneMessage: self.is_object_none,
            GetShapeMessage: self.handle_get_shape_message,
            SearchMessage: self.respond_to_search,
        }

    def supports(self, message) -> bool:
        return True  # and `handle` refuses what it does not know, instead of answering nothing

    def handle(self, message):
        if type(message) not in self.routing_table or type(message).__name__ not in self.worker.policy.messages:
            raise NotPermitted("message", f"{self.worker.id} does not take messages of type {type(message).__name__}")
        self.worker.doing(message)
        reading.check(message)
        self.worker.check_sender()
        if type(message).__name__ not in self._open_to(self.worker.sender()):
            raise NotPermitted("peer-shares", "a peer may deliver shares, and nothing else")
        try:
            return super().handle(message)
        finally:
            self.worker.arriving.clear()

    def _open_to(self, sender: Id | None) -> frozenset[str]:
        """The types of messages that a sender may send; None is a coordinator."""
        policy = self.worker.policy
        if sender is None:
            return policy.messages
        if sender == self.worker.id:
            # PySyft asks whether a pointer's gradient is None when it writes the pointer down, also of its own worker.
            return policy.peer_messages | {"IsNoneMessage"}
        return policy.peer_messages

    def handle_object_msg(self, message: ObjectMessage) -> None:
        obj = message.object
        if not isinstance(obj, torch.Tensor) or hasattr(obj, "child"):
            # A chain may end in a pointer to this worker, which arrives as the very tensor it points to.
            raise NotPermitted(
                "plain-tensors", f"{self.worker.id} takes plain tensors, not a {type(obj).__name__} of something"
            )
        if obj.id in self.worker.own_ids:
            raise NotPermitted("own", f"object {obj.id} is {self.worker.id}'s own and cannot be replaced")
        if self.worker.sender() is not None:
            if obj.dtype not in (torch.int64, torch.int32):
                raise NotPermitted("peer-shares", "a peer may deliver shares, which are integers")
            if obj.tags and _PUBLIC_SHARE in obj.tags:
                self.worker.labels[obj] = PUBLIC
        self.worker.labels[obj] = self.worker.labels[obj]  # which it keeps from now on
        super().handle_object_msg(message)

    def respond_to_obj_req(self, message: ObjectRequestMessage):
        obj = self.get_obj(message.object_id)
        if not isinstance(obj, torch.Tensor):
            raise NotPermitted("plain-tensors", "only tensors can be fetched")
        for leaf in leaves(obj):
            label = self.worker.labels[leaf]
            if not self.worker.may_leave(label):
                raise NotPermitted("shares" if isinstance(label, Share) else "private", self._refusal(label))
        if obj.grad is not None and isinstance(self.worker.labels[obj.grad], Private):
            obj.grad = None  # which would travel along
        return super().respond_to_obj_req(message)

    def _refusal(self, label: Label) -> str:
        if isinstance(label, Share):
            missing = sorted(map(str, self.worker.participants - label.contributors))
            return (
                f"this is a sum of shares of {', '.join(sorted(map(str, label.contributors)))} alone, which could tell "
                f"their secrets: it can be fetched once a share of each participant is in it"
                + (f" ({', '.join(missing)} missing)" if missing else "")
            )
        return (
            f"names on {self.worker.id}, and what was computed from them, stay there. "
            "Share it with fix_precision().share(...) and fetch the sum over all participants, or use evaluate()"
        )

    def handle_force_delete_object_msg(self, message: ForceObjectDeleteMessage) -> None:
        ids = [id_ for id_ in message.object_ids if id_ not in self.worker.own_ids]
        super().handle_force_delete_object_msg(ForceObjectDeleteMessage(ids))

    def execute_communication_action(self, action):
        raise NotPermitted("send", "objects do not move between workers; shares do: use fix_precision().share(...)")

    def execute_computation_action(self, action: ComputationAction):
        name = action.name
        self._check_operation(action)
        inputs = (action.target, action.args, action.kwargs)
        labels = [self.worker.labels[leaf] for leaf in leaves(inputs)]
        if name in operations.ADDITIONS and len(labels) == 2 and not action.kwargs:
            label = join_sum(*labels)
        else:
            label = join(labels)
        foretold = label != PUBLIC and name not in operations.UNFORETOLD
        if foretold:
            self._foretelling.foretell(name, *inputs)
        # Before anything is changed: what fails half way has changed something, too.
        for leaf in _changed_by(action):
            self.worker.labels[leaf] = join((self.worker.labels[leaf], label))
        with_gradients = list(_accumulate_gradients(action.target)) if name == "backward" else []
        new = [tensor for tensor in with_gradients if tensor.grad is None]
        try:
            with self.worker.computing(label):
                response = super().execute_computation_action(action)
        except (GetNotPermittedError, OverLimit):
            raise
        except ResponseSignatureError as unexpected:
            # PySyft reports another number of results than foreseen this way, after it has stored them.
            self._label_results(unexpected.ids_generated, label)
            raise
        except Exception as error:
            if label == PUBLIC or not self.worker.policy.guards or isinstance(error, (TransportError, UnknownPeer)):
                raise
            # PyTorch's texts quote values ("Target 17 is out of bounds").
            logger.warning("%s failed on private data: %s", name, type(error).__name__)
            if not foretold:
                raise _same_type(error, f"{name} failed on private data") from None
            response = None
            if name not in operations.IN_PLACE | operations.IN_PLACE_FUNCTIONS:
                results = self._foretelling.stand_in(name, *inputs)
                hook_args.register_response(name, results, list(action.return_ids or ()), self.worker)
        finally:
            self._label_gradients(with_gradients, new, label)
        self._label_results(action.return_ids, label)
        if response is not None and label != PUBLIC and self.worker.policy.guards:
            raise NotPermitted("value", f"{name} would return a value computed from names on {self.worker.id}")
        return response

    def _check_operation(self, action: ComputationAction) -> None:
        name, target = action.name, action.target
        if target is None:
            known = name in self.worker.policy.functions
        else:
            known = isinstance(target, torch.Tensor) and name in self.worker.policy.methods
        if not known:
            raise NotPermitted("operation", f"{self.worker.id} does not execute {str(name)[:40]!r} for pointers")
        if refused := operations.refused_argument(name, action.args, action.kwargs):
            raise NotPermitted("operation", f"{self.worker.id} does not execute {name!r} with {refused}")
        if any(self.worker.is_own(leaf) for leaf in _changed_by(action)):
            raise NotPermitted("own", f"{name} would change {self.worker.id}'s own names")
        if own := self.worker.own_ids.intersection(action.return_ids or ()):
            raise NotPermitted("own", f"object {own.pop()} is {self.worker.id}'s own and cannot be replaced")

    def _label_results(self, ids: Iterable[Id] | None, label: Label) -> None:
        for id_ in ids or ():
            for leaf in leaves(self.object_store._objects.get(id_)):
                self.worker.labels[leaf] = label

    def _label_gradients(self, tensors: list[torch.Tensor], new: list[torch.Tensor], label: Label) -> None:
        """Label the gradients that `backward()` has made, or added to, without anybody being told, also if it failed.

        Args:
            new: those of the tensors that had no gradient before.
        """
        for tensor in tensors:
            if (gradient := tensor.grad) is not None:
                before = PUBLIC if any(tensor is each for each in new) else self.worker.labels[gradient]
                self.worker.labels[gradient] = join((before, label, self.worker.labels[tensor]))


def _changed_by(action: ComputationAction) -> Iterator[torch.Tensor]:
    """The tensors that an operation changes in place."""
    if action.name in operations.IN_PLACE:
        return leaves(action.target)
    if action.name in operations.IN_PLACE_FUNCTIONS:
        return leaves((action.args[:1], action.kwargs))  # the first argument may come by its name
    return leaves(())


def _accumulate_gradients(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors whose `grad` a call of `tensor.backward()` will add to: where its graph ends."""
    seen = set()
    waiting = [tensor.grad_fn]
    while waiting:
        function = waiting.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        if hasattr(function, "variable"):
            yield function.variable
        waiting += [following for following, _ in function.next_functions]


def _same_type(error: Exception, text: str) -> Exception:
    try:
        return type(error)(text)
    except TypeError:
        return RuntimeError(text)


def _find(worker: GuardedWorker, name: str) -> Callable:
    found: Any = worker
    for part in name.split("."):
        found = getattr(found, part)
    return found
