"""Ordinary tensors at ordinary speed: PySyft's hooks leave them alone before they look for anything else.

Applied after `direct_pointers`, which then costs ordinary tensors nothing.
"""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, attr-defined, method-assign, union-attr"

import functools

import torch

from pisyft.compat.hooked import PLAIN, TENSORS, hooked_by_pysyft, is_overridden
from pisyft.compat.registry import Moment, repair


def _are_plain(arguments) -> bool:
    for argument in arguments:
        kind = type(argument)
        if kind in TENSORS:
            if hasattr(argument, "child"):
                return False
        elif kind is tuple or kind is list:
            if not _are_plain(argument):
                return False
        elif kind not in PLAIN:
            return False
    return True


@repair(
    Moment.AFTER_HOOK,
    upstream="none: a hooked function tries every kind of PySyft's tensors and calls PyTorch when all have failed",
    broke="ordinary training is half as fast as soon as a hook is made",
)
def plain_functions() -> None:
    import syft
    from syft.frameworks.torch.tensors.interpreters.native import TorchTensor

    def with_short_cut(native, hooked):
        @functools.wraps(native)
        def function(*args, **kwargs):
            if _are_plain(args):
                return native(*args, **kwargs)
            return hooked(*args, **kwargs)

        return function

    for module_name, module in syft.torch.torch_modules.items():
        for name, hooked in list(vars(module).items()):
            native = hooked_by_pysyft(module, name, hooked)
            # A few functions PySyft has written anew for ordinary tensors, too.
            if native is not None and not is_overridden(TorchTensor, f"native_{module_name}.{name}"):
                setattr(module, name, with_short_cut(native, hooked))


@repair(
    Moment.AFTER_HOOK,
    upstream="none: a hooked method looks up PyTorch's by name each time",
    broke="ordinary training is slow as soon as a hook is made",
)
def plain_methods() -> None:
    import syft

    def with_short_cut(native, hooked):
        @functools.wraps(native)
        def method(self, *args, **kwargs):
            if not hasattr(self, "child") and _are_plain(args):
                return native(self, *args, **kwargs)
            return hooked(self, *args, **kwargs)

        return method

    for name in syft.hook.to_auto_overload[torch.Tensor]:
        hooked = vars(torch.Tensor).get(name)
        native = hooked_by_pysyft(torch.Tensor, name, hooked)
        if native is not None:
            setattr(torch.Tensor, name, with_short_cut(native, hooked))
    torch.Tensor.dim = with_short_cut(torch._C.TensorBase.dim, torch.Tensor.dim)


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 1.5 warns when `grad` of a tensor that is no leaf is read, which PySyft does for each it sends",
    broke="a warning about `.grad` for every program, and ordinary tensors are slow to tell their shape or gradient",
)
def plain_properties() -> None:
    from syft.frameworks.torch.tensors.interpreters.native import TorchTensor

    native = torch._C.TensorBase

    def grad(self):
        if self.is_leaf or self.retains_grad or hasattr(self, "_grad_was_set"):
            return native.grad.__get__(self)
        return None

    def set_grad(self, gradient) -> None:
        if not self.is_leaf:
            self._grad_was_set = True
        native.grad.__set__(self, gradient)

    torch.Tensor.shape = _short_cut(TorchTensor.shape, native.shape.__get__)
    torch.Tensor.grad = _short_cut(torch.Tensor.grad, grad, set_grad)
    torch.nn.Parameter.grad = _short_cut(torch.nn.Parameter.grad, grad, set_grad)


def _short_cut(hooked, getter, setter=None) -> property:
    def fget(self):
        return hooked.fget(self) if hasattr(self, "child") else getter(self)

    def fset(self, value):
        if setter is None or hasattr(self, "child") or not _are_plain((value,)):
            hooked.fset(self, value)
        else:
            setter(self, value)

    return property(fget, fset if hooked.fset is not None else None)
