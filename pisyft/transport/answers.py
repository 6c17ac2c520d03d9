"""Which messages need no answer: the caller knows beforehand what they return, namely one tensor, or nothing."""

from __future__ import annotations

import functools
import sys

from syft.execution.computation import ComputationAction
from syft.messaging.message import ForceObjectDeleteMessage, Message, ObjectMessage, TensorCommandMessage

from pisyft.transport.frames import Id
from pisyft.transport.outbox import Origin

# Operations whose result is always one tensor. `max` and `sort`, say, return two of them for some arguments, and
# `numel` a number: they are waited for, as is everything that is not listed.
_ONE_TENSOR = frozenset(
    """
    abs add addmm argmax argmin bmm clamp clone contiguous copy cumsum detach div dot double eq exp expand expand_as
    fix_prec fix_precision flatten flip float float_prec float_precision floor fmod gather ge gt half index_select
    le log log2 log_softmax long lt masked_fill matmul mm mul mv narrow ne neg norm permute pow reciprocal relu repeat
    reshape round rsqrt select sigmoid sign softmax sqrt square squeeze sub t tanh transpose type unsqueeze view
    view_as
    __abs__ __add__ __eq__ __floordiv__ __ge__ __getitem__ __gt__ __le__ __lt__ __matmul__ __mod__ __mul__ __ne__
    __neg__ __pow__ __radd__ __rmul__ __rsub__ __rtruediv__ __sub__ __truediv__
    torch.add torch.addmm torch.bmm torch.cat torch.dot torch.exp torch.log torch.matmul torch.mm torch.mul torch.mv
    torch.relu torch.sigmoid torch.stack torch.sub torch.tanh
    torch.nn.functional.cross_entropy torch.nn.functional.linear torch.nn.functional.log_softmax
    torch.nn.functional.mse_loss torch.nn.functional.nll_loss torch.nn.functional.relu torch.nn.functional.softmax
    """.split()
)


def needs_none(message: Message) -> bool:
    """Whether the caller can go on before the message is executed."""
    if isinstance(message, TensorCommandMessage):
        action = message.action
        if not isinstance(action, ComputationAction) or action.return_value:
            return False
        return _makes_nothing(action.name) or action.name in _ONE_TENSOR
    return isinstance(message, (ObjectMessage, ForceObjectDeleteMessage))


def ids_of_results(message: Message) -> tuple[Id, ...]:
    """The ids that the caller has chosen for what a message leaves on the worker."""
    if isinstance(message, TensorCommandMessage):
        # PySyft chooses ids for every operation. Those that stand for nothing are never discarded either.
        return () if _makes_nothing(message.action.name) else tuple(message.action.return_ids or ())
    if isinstance(message, ObjectMessage):
        return (message.object.id,)
    return ()


def _makes_nothing(operation: str) -> bool:
    """Whether an operation changes tensors that are there already, and makes no other."""
    return operation == "backward" or (operation.endswith("_") and not operation.endswith("__"))


def origin_of(message: Message) -> Origin:
    """The operation, and the line outside PyTorch, PySyft and PiSyft that asked for it."""
    operation = message.action.name if isinstance(message, TensorCommandMessage) else type(message).__name__
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_of_a_library(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return Origin(operation, f"{frame.f_code.co_filename}:{frame.f_lineno}")


@functools.cache
def _is_of_a_library(module: str) -> bool:
    return module.partition(".")[0] in ("torch", "syft", "pisyft")
