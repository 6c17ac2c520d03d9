"""Operations on pointers sent on at once, without asking first what else their arguments could be."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined, method-assign"

from __future__ import annotations

import functools
import weakref

import torch

from pisyft.compat.hooked import PLAIN, TENSORS, hooked_by_pysyft, is_overridden
from pisyft.compat.registry import Moment, repair


class _NotDirect(Exception):
    """Something among the arguments is neither plain nor a pointer to the same worker."""


@functools.cache
def _pointer_type() -> type:
    from syft.generic.pointers.pointer_tensor import PointerTensor

    return PointerTensor


def _pointer_of(tensor: object):
    """The pointer that a tensor, and no parameter, is the wrapper of."""
    pointer = vars(tensor).get("child") if type(tensor) is torch.Tensor else None
    return pointer if type(pointer) is _pointer_type() else None


def _unwrapped(value, pointer):
    """`value` with pointers in place of their wrappers, all to the worker that `pointer` points to."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind in TENSORS:
        child = vars(value).get("child")
        if type(child) is type(pointer) and child.location is pointer.location:
            return child
    elif kind is tuple or kind is list:
        return kind(_unwrapped(each, pointer) for each in value)
    raise _NotDirect


def _wrapped(response, dtype: torch.dtype):
    """What PySyft's `wrap` makes of pointers; other values as they are."""
    if type(response) is tuple:
        return tuple(_wrapped(each, dtype) for each in response)
    if type(response) is not _pointer_type():
        return response
    if not response.owner.is_client_worker:  # it keeps a register of its wrappers
        return response.wrap(type=dtype)
    wrapper = torch.native_empty(0, dtype=dtype)
    wrapper.child = response
    wrapper.is_wrapper = True
    response.parent = weakref.ref(wrapper)
    return wrapper


@repair(
    Moment.AFTER_HOOK,
    upstream="none: a hooked method takes its arguments apart by a rule that it makes or looks up for each call",
    broke="training by pointer spends as much time on finding the pointers as on sending them",
)
def methods_of_pointers() -> None:
    import syft

    def direct(native, hooked, name: str):
        in_place = syft.framework.is_inplace_method(name)

        @functools.wraps(native)
        def method(self, *args, **kwargs):
            pointer = _pointer_of(self)
            if pointer is None:
                return hooked(self, *args, **kwargs)
            try:
                arguments = [_unwrapped(each, pointer) for each in args]
                keywords = {name: _unwrapped(each, pointer) for name, each in kwargs.items()}
            except _NotDirect:
                return hooked(self, *args, **kwargs)
            response = getattr(pointer, name)(*arguments, **keywords)
            return self if in_place else _wrapped(response, self.dtype)

        return method

    for name in syft.hook.to_auto_overload[torch.Tensor]:
        hooked = vars(torch.Tensor).get(name)
        native = hooked_by_pysyft(torch.Tensor, name, hooked)
        if native is not None:
            setattr(torch.Tensor, name, direct(native, hooked, name))


@repair(
    Moment.AFTER_HOOK,
    upstream="none: a hooked function finds out by an exception that its arguments are pointers",
    broke="training by pointer spends as much time on finding the pointers as on sending them",
)
def functions_of_pointers() -> None:
    import syft
    from syft.frameworks.torch.tensors.interpreters.native import TorchTensor

    def direct(native, hooked, command: str):
        @functools.wraps(native)
        def function(*args, **kwargs):
            first = args[0] if args else None
            pointer = _pointer_of(first[0] if type(first) in (tuple, list) and first else first)
            if pointer is None:
                return hooked(*args, **kwargs)
            try:
                arguments = tuple(_unwrapped(each, pointer) for each in args)
                keywords = {name: _unwrapped(each, pointer) for name, each in kwargs.items()}
            except _NotDirect:
                return hooked(*args, **kwargs)
            response = pointer.owner.send_command(pointer.location, cmd_name=command, args_=arguments, kwargs_=keywords)
            return _wrapped(response, torch.get_default_dtype())

        return function

    for module_name, module in syft.torch.torch_modules.items():
        for name, hooked in list(vars(module).items()):
            native = hooked_by_pysyft(module, name, hooked)
            command = f"{module_name}.{name}"
            if native is not None and not is_overridden(TorchTensor, command):
                setattr(module, name, direct(native, hooked, command))
