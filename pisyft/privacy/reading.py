"""What a guarded worker reads of what it is sent: the kinds of objects that are listed here, and no others.

PySyft makes objects of some sixty kinds of what it receives. It loads TorchScript, imports the modules that types are
in, builds workers, plans and exceptions, follows any attribute of an object that is pointed to, and takes a pointer for
the object wherever it stands: an id that is a pointer to names has the names in the text of "not found". A worker needs
to read a few messages, tensors, and pointers to its own tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import syft
import torch
from syft.codes import TENSOR_SERIALIZATION
from syft.execution.communication import CommunicationAction
from syft.execution.computation import ComputationAction
from syft.generic.abstract.tensor import initialize_tensor
from syft.generic.pointers.pointer_tensor import PointerTensor
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
from syft.serde.msgpack import serde, torch_serde
from syft.workers.virtual import VirtualWorker

from pisyft.refusals import NotPermitted
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.client import find_worker
from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import Id, is_id
from pisyft.transport.operation import Operation, attribute_of

_LISTED = (
    *(dict, list, tuple, slice, str, type(...), torch.Size, torch.dtype),
    *(torch.Tensor, torch.nn.Parameter, PointerTensor, Operation, ComputationAction, CommunicationAction),
    *(TensorCommandMessage, ObjectMessage, ObjectRequestMessage, ForceObjectDeleteMessage),
    *(IsNoneMessage, GetShapeMessage, SearchMessage),
    *(VirtualWorker, WebsocketClientWorker),  # their ids, for `share`
)


# What a worker keeps with a tensor beside its memory, which is counted.
_MOST_TAGS, _MOST_LETTERS = 32, 1024


class _Listed(dict):
    """How to read each kind of object that is listed, by the number it has on the wire."""

    def __missing__(self, code: object) -> Callable:
        kind = next((kind for kind, (known, _) in _state().simplifiers.items() if known == code), None)
        raise NotPermitted("message", f"a worker reads no {getattr(kind, '__name__', 'object of an unknown kind')}")


def read_listed_kinds_only() -> None:
    """Have this process read what is listed, from now on."""
    state = _state()
    code_of = {kind: code for kind, (code, _) in state.simplifiers.items()}
    readers = {code_of[kind]: state.detailers[code_of[kind]] for kind in _LISTED}
    readers |= {
        code_of[torch.Size]: _read_size,
        code_of[torch.Tensor]: _read_tensor,
        code_of[torch.nn.Parameter]: _read_parameter,
        code_of[PointerTensor]: _read_pointer,
        code_of[VirtualWorker]: _read_worker,
        code_of[WebsocketClientWorker]: _read_worker,
    }
    listed = _Listed(readers)
    # PySyft adds to its table whenever a class is defined that can be written down; nobody adds to this one.
    serde.MsgpackGlobalState.detailers = property(lambda state: listed)


def check(message: Message) -> None:
    """Make sure that pointers to tensors stand in a message where a tensor may stand, and nowhere else.

    Raises:
        ProtocolError: something is of another kind than it should be. The text quotes nothing.
    """
    if isinstance(message, TensorCommandMessage):
        action = message.action
        fine = (
            isinstance(action, (ComputationAction, CommunicationAction))
            and type(action.name) is str
            and type(action.args) is tuple
            and type(action.kwargs) is dict
            and all(type(name) is str for name in action.kwargs)
            and (action.return_ids is None or _are_ids(action.return_ids))
            and type(action.return_value) is bool
        )
    elif isinstance(message, ObjectRequestMessage):
        fine = is_id(message.object_id) and message.user is None
    elif isinstance(message, IsNoneMessage):
        fine = is_id(message.object_id)
    elif isinstance(message, GetShapeMessage):
        fine = is_id(message.tensor_id)
    elif isinstance(message, ForceObjectDeleteMessage):
        fine = _are_ids(message.object_ids)
    elif isinstance(message, SearchMessage):
        fine = is_id(message.query) or _are_ids(message.query)
    else:
        fine = True
    if not fine:
        raise ProtocolError(f"not a {type(message).__name__}: something in it is of another kind than it should be")


def _state():
    state = serde.msgpack_global_state
    if state.stale_state:
        state.update()
    return state


def _are_ids(values: object) -> bool:
    return type(values) in (tuple, list) and all(map(is_id, values))  # type: ignore[call-overload]


def _read_size(worker, written: tuple) -> torch.Size:
    if not all(type(size) is int for size in written):
        raise ProtocolError("a size is made of numbers")
    return torch.Size(written)


def _read_pointer(worker, written: tuple) -> object:
    """The object, or the attribute of it, that a pointer points to."""
    id_, location = _id(worker, written[1]), _id(worker, written[2])
    if location != worker.id:
        raise NotPermitted("plain-tensors", f"this is a pointer to something on {location}, and not on {worker.id}")
    attribute = written[3]
    return attribute_of(worker.get_obj(id_), None if attribute is None else _text(worker, attribute))


def _read_worker(worker, written: tuple):
    return find_worker(worker, _id(worker, written[0]))


def _read_tensor(worker, written: tuple) -> torch.Tensor:
    """A tensor with its gradient, and with tags and a description, which are texts."""
    id_, elements, chain, gradient, tags, description, serializer, *origin = written
    if any(each is not None for each in origin):
        raise NotPermitted(
            "plain-tensors", f"{worker.id} sends no gradients on: send the tensor without requires_grad=True"
        )
    if chain is not None:
        # It may end in a pointer to this worker, which is read as the very tensor that it points to.
        raise NotPermitted("plain-tensors", f"{worker.id} takes plain tensors, not what wraps something")
    if _text(worker, serializer) != TENSOR_SERIALIZATION.TORCH or type(elements) is not bytes:
        raise ProtocolError("not a tensor: it has no bytes")
    tensor = torch_serde._deserialize_tensor(worker, TENSOR_SERIALIZATION.TORCH, elements)
    if gradient is not None:
        tensor.grad = _read_gradient(worker, gradient)
    initialize_tensor(hook=syft.torch.hook, obj=tensor, owner=worker, id=_id(worker, id_))
    if tags is not None and len(tags[1]) > _MOST_TAGS:
        raise ProtocolError(f"{len(tags[1])} tags; {_MOST_TAGS} is the most")
    tensor.tags = {_text(worker, tag) for tag in tags[1]} if tags is not None else set()
    tensor.description = None if description is None else _text(worker, description)
    return tensor


def _read_gradient(worker, written: tuple) -> torch.Tensor:
    """A tensor without a gradient of its own: memory that hangs on memory is not counted."""
    if written[3] is not None:
        raise ProtocolError("a gradient has no gradient of its own")
    return _read_tensor(worker, written)


def _read_parameter(worker, written: tuple) -> torch.nn.Parameter:
    id_, tensor, requires_grad, gradient = written
    parameter: Any = torch.nn.Parameter(_read_tensor(worker, tensor[1]), bool(requires_grad))
    parameter.id = _id(worker, id_)
    if gradient is not None:
        parameter.grad = _read_gradient(worker, gradient)
    parameter.is_wrapper, parameter.origin, parameter.id_at_origin = False, None, None
    return parameter


def _id(worker, written: object) -> Id:
    id_ = serde._detail(worker, written)
    if not is_id(id_):
        raise ProtocolError("an id is a number or a short text")
    return id_


def _text(worker, written: object) -> str:
    text = serde._detail(worker, written)
    if type(text) is not str or len(text) > _MOST_LETTERS:
        raise ProtocolError(f"a text was expected, of {_MOST_LETTERS} letters or fewer")
    return text
