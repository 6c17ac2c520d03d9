"""Steps and resets of a whole remote model in one message, instead of several for each parameter."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined, method-assign"

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch

from pisyft.compat.registry import Moment, repair


def add_each_(tensors: Sequence[torch.Tensor], others: Sequence[torch.Tensor | None], alpha: float) -> None:
    """Add `alpha * other` to each tensor in place, unrecorded by autograd; where the other is None, nothing."""
    with torch.no_grad():
        for tensor, other in zip(tensors, others, strict=True):
            if other is not None:
                tensor.add_(other, alpha=alpha)


def zero_each_(tensors: Sequence[torch.Tensor | None]) -> None:
    """Set each tensor that is not None to zero in place, unrecorded by autograd."""
    with torch.no_grad():
        for tensor in tensors:
            if tensor is not None:
                tensor.zero_()


@repair(
    Moment.BEFORE_HOOK,
    upstream="none: PyTorch's functions of many tensors, `torch._foreach_add_` and others, are private",
    broke="a pointer has no operation that changes all parameters of a model at once",
)
def functions_of_many_tensors() -> None:
    # Where PySyft looks up the functions that pointers may name.
    torch.add_each_ = add_each_
    torch.zero_each_ = zero_each_


def zero_remote_gradients(parameters: Iterable[torch.Tensor]) -> None:
    """Set the gradients of remote parameters to zero, with one message to each worker that holds some."""
    for pointers in _by_location(parameters):
        _send("torch.zero_each_", pointers, [_gradient(pointer) for pointer in pointers])


@repair(
    Moment.AFTER_HOOK,
    upstream="none: SGD reads `grad` of each parameter, which PySyft asks the worker for, and changes each by itself",
    broke="a step on a remote model takes eleven messages a parameter, and waits for the answers to nearly all",
)
def steps_of_remote_models() -> None:
    step_by_parameter = torch.optim.SGD.step

    @functools.wraps(step_by_parameter)
    def step(self, closure=None):
        if closure is not None or not all(map(_is_plain_and_remote, self.param_groups)):
            return step_by_parameter(self, closure)
        for group in self.param_groups:
            for pointers in _by_location(group["params"]):
                gradients = [_gradient(pointer) for pointer in pointers]
                _send("torch.add_each_", pointers, pointers, gradients, -group["lr"])
        return None

    torch.optim.SGD.step = step


def _is_plain_and_remote(group: dict) -> bool:
    """Whether a step is `parameter -= lr * gradient` and nothing else, all of it on workers."""
    is_plain = isinstance(group["lr"], float) and not (group["momentum"] or group["weight_decay"] or group["maximize"])
    return is_plain and all(is_remote(parameter) for parameter in group["params"])


def is_remote(parameter: torch.Tensor) -> bool:
    """Whether a parameter and its gradient are on a worker. (With PySyft's own autograd, gradients are here.)"""
    from syft.generic.pointers.pointer_tensor import PointerTensor

    return isinstance(getattr(parameter, "child", None), PointerTensor) and not hasattr(parameter, "_grad_during_step")


def _by_location(parameters: Iterable[torch.Tensor]) -> Iterable[list]:
    """The pointers in these parameters, a list for each worker that they point to."""
    pointers: dict = {}
    for parameter in parameters:
        pointers.setdefault(parameter.child.location.id, []).append(parameter.child)
    return pointers.values()


def _gradient(pointer):
    """A pointer to the gradient. `pointer.grad` would ask the worker first whether there is one."""
    gradient = pointer._grad if hasattr(pointer, "_grad") else pointer.attr("grad")
    return None if gradient is None else gradient.child


def _send(function: str, pointers: list, *arguments) -> None:
    owner, location = pointers[0].owner, pointers[0].location
    owner.send_command(location, cmd_name=function, args_=arguments, return_ids=())
