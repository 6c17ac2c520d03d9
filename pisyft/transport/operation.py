"""An operation on tensors in few bytes: what nearly all messages are. Whatever else they say, PySyft writes down."""

from __future__ import annotations

from types import NoneType

import torch
from syft.execution.computation import ComputationAction
from syft.generic.abstract.syft_serializable import SyftSerializable
from syft.generic.pointers.pointer_tensor import PointerTensor
from syft.messaging.message import Message, TensorCommandMessage
from syft.serde.msgpack import serde

# What msgpack writes and reads back as it was.
_PLAIN = frozenset({NoneType, bool, int, float, str})
# Everything else is a tuple that begins with one of these.
_TUPLE, _LIST, _SLICE, _ELLIPSIS, _POINTER, _ATTRIBUTE = range(6)
# The tensors that hang on a tensor, to which its pointer's attributes point.
_ATTRIBUTES = frozenset({"data", "grad", "data.grad", "grad.data"})


class Operation(SyftSerializable):
    """A command on tensors of one worker, written with their ids. It is read as the message that it was made of.

    Args:
        message: a command.
        location: the worker that holds its tensors.

    Raises:
        TypeError: PySyft must write this message: it says more than this.
    """

    def __init__(self, message: Message, location) -> None:
        if type(message) is not TensorCommandMessage or type(message.action) is not ComputationAction:
            raise TypeError(f"{type(message).__name__} is no command on tensors")
        action = message.action
        self._written = (
            action.name,
            _written(action.target, location),
            tuple(_written(argument, location) for argument in action.args),
            {name: _written(argument, location) for name, argument in action.kwargs.items()},
            action.return_ids,
            action.return_value,
        )

    @staticmethod
    def simplify(worker, operation: Operation) -> tuple:
        return operation._written

    @staticmethod
    def detail(worker, written: tuple) -> TensorCommandMessage:
        name, target, arguments, keywords, return_ids, return_value = written
        return TensorCommandMessage.computation(
            name,
            _read(target, worker),
            tuple(_read(argument, worker) for argument in arguments),
            {name: _read(argument, worker) for name, argument in keywords.items()},
            return_ids,
            return_value,
        )

    @staticmethod
    def get_msgpack_code() -> dict[str, int]:
        return {"code": serde.msgpack_code_generator("pisyft.Operation")}


def _written(value, location):
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is PointerTensor and value.location is location:
        attribute = value.point_to_attr
        if attribute is None:
            return _POINTER, value.id_at_location
        if attribute in _ATTRIBUTES:
            return _ATTRIBUTE, value.id_at_location, attribute
    elif kind is tuple:
        return _TUPLE, *(_written(each, location) for each in value)
    elif kind is list:
        return _LIST, *(_written(each, location) for each in value)
    elif kind is slice:
        return _SLICE, *(_written(each, location) for each in (value.start, value.stop, value.step))
    elif value is Ellipsis:
        return (_ELLIPSIS,)
    raise TypeError(f"{kind.__name__} is for PySyft to write")


def _read(value, worker):
    if type(value) is not tuple:
        return value
    kind, *values = value
    if kind == _POINTER:
        return worker.get_obj(*values)
    if kind == _ATTRIBUTE:
        id_, attribute = values
        return attribute_of(worker.get_obj(id_), attribute)
    if kind == _ELLIPSIS:
        return Ellipsis
    read = [_read(each, worker) for each in values]
    if kind == _LIST:
        return read
    return slice(*read) if kind == _SLICE else tuple(read)


def attribute_of(tensor, attribute: str | None):
    """A tensor, or a tensor that hangs on it.

    Args:
        attribute: which, as a pointer says it; None or "" is the tensor itself.

    Raises:
        ValueError: this is no tensor that hangs on a tensor.
    """
    if not attribute:
        return tensor
    if attribute not in _ATTRIBUTES:
        raise ValueError(f"{attribute!r} is no tensor that hangs on a tensor")
    for name in attribute.split("."):
        tensor = getattr(tensor, name)
    return tensor if tensor is None or isinstance(tensor, torch.Tensor) else tensor.wrap()
