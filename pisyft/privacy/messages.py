"""What each of PySyft's messages may do on a guarded worker, by the labels of what it is about.

A message is checked before it is executed, and what comes of it is labelled before anybody else can ask for it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from syft.exceptions import GetNotPermittedError, ResponseSignatureError
from syft.execution.computation import ComputationAction
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
from syft.workers.message_handler import BaseMessageHandler

from pisyft.limits import OverLimit
from pisyft.privacy import operations, reading
from pisyft.privacy.foretelling import Foretelling, Foretold, may_have_more, pieces
from pisyft.privacy.labels import PUBLIC, Id, Label, Private, Share, join, join_sum, leaves
from pisyft.refusals import NotPermitted
from pisyft.transport.errors import TransportError, UnknownPeer

if TYPE_CHECKING:
    from pisyft.privacy.guard import GuardedWorker

logger = logging.getLogger(__name__)

# Carried by shares of a value that is public, so that who receives them does not take them for a contribution.
PUBLIC_SHARE = "#share-of-a-public-value"

_ELEMENT_BYTES = 8  # at most

# What the audit log calls messages.
_NAMES = {
    TensorCommandMessage: "command",
    ObjectMessage: "send",
    ObjectRequestMessage: "get",
    ForceObjectDeleteMessage: "delete",
    IsNoneMessage: "is none",
    GetShapeMessage: "shape",
    SearchMessage: "search",
}


class GuardedMessageHandler(BaseMessageHandler):
    """PySyft's message handler behind the guard. A message type that is not named here is refused."""

    def __init__(self, object_store, worker: GuardedWorker) -> None:
        super().__init__(object_store, worker)
        self._foretelling = Foretelling(functools.partial(_find, worker))
        # Of a result: whatever they are, not more than half of what a caller may hold.
        self._small = min(worker._limits.array_values, worker._limits.objects_mb * 2**20 // _ELEMENT_BYTES // 2)

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
        self.worker.doing(self._what(message))
        reading.check(message)
        self.worker.check_sender()
        if type(message).__name__ not in self._open_to(self.worker.sender()):
            raise NotPermitted("peer-shares", "a peer may deliver shares, and nothing else")
        try:
            return super().handle(message)
        finally:
            self.worker.arriving.clear()

    def _what(self, message: Message) -> str:
        """What a message asks for, as the audit log calls it."""
        if isinstance(message, TensorCommandMessage) and isinstance(message.action, ComputationAction):
            name, policy = message.action.name, self.worker.policy
            return name if name in policy.methods or name in policy.functions else "an operation that is not listed"
        return _NAMES[type(message)]

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
            if obj.tags and PUBLIC_SHARE in obj.tags:
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
        tensors = list(leaves(inputs))
        labels = [self.worker.labels[leaf] for leaf in tensors]
        label = join_sum(*labels) if _adds_up(action) else join(labels)
        foretold = label != PUBLIC and name not in operations.UNFORETOLD
        self._foresee(name, inputs, tensors, foretold)
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

    def _foresee(self, name: str, inputs: tuple, tensors: Sequence[torch.Tensor], private: bool) -> None:
        """Make sure that an operation's results may be stored, before memory is taken for them.

        Args:
            tensors: in the inputs.
            private: whether nothing but their shapes may be looked at.

        Raises:
            Exception: what the operation raises whatever the elements of private tensors are.
            OverLimit: the caller would hold more than it may.
        """
        target, args, kwargs = inputs
        if (objects := pieces(name, target, args, kwargs)) > 1:
            self.object_store.foresee(0, 0, objects)
        foretold: Foretold | None = None
        if private:
            foretold = self._foretelling.foretell(name, target, args, kwargs)
        elif name in operations.SHARING:
            elements = max((tensor.numel() for tensor in tensors), default=0)
            foretold = Foretold(None, elements, elements * _ELEMENT_BYTES)
        elif name not in operations.SAME_SIZE and may_have_more(self._small, name, args, tensors):
            foretold = self._foretelling.foretell_public(name, target, args, kwargs)
        if foretold:
            self.object_store.foresee(foretold.elements, foretold.bytes)

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


def _adds_up(action: ComputationAction) -> bool:
    """Whether an operation is the sum of two plain tensors, each once.

    PyTorch still takes a factor by its place: `left.add(0, right)` is `left`.
    """
    return (
        action.name in operations.ADDITIONS
        and len(action.args) == 1
        and not action.kwargs
        and all(isinstance(each, torch.Tensor) and not hasattr(each, "child") for each in (action.target, *action.args))
    )


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
