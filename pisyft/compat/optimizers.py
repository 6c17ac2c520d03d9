"""PyTorch's optimisers, stepping parameters that are pointers, shared, or tracked by PySyft's own autograd."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign, union-attr"

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import torch

from pisyft.compat.registry import Moment, repair

_stepping: ContextVar[bool] = ContextVar("stepping", default=False)


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def _around_step(surroundings) -> None:
    """Have every optimiser's `step` run inside `surroundings(optimizer)`, a context manager."""
    # Each class of optimisers passes its own `step` through this function when it is first instantiated.
    profiled = torch.optim.Optimizer.profile_hook_step

    def profile_hook_step(step):
        original = profiled(step)

        @functools.wraps(original)
        def surrounded(*args, **kwargs):
            with surroundings(args[0]):
                return original(*args, **kwargs)

        return surrounded

    torch.optim.Optimizer.profile_hook_step = staticmethod(profile_hook_step)


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch's optimisers copy a gradient by `grad.clone()` (SGD: 2.9); 1.4 used `torch.clone(grad)`",
    broke="momentum is silently wrong: PySyft's `pointer.clone()` is one more name for the same remote tensor",
)
def clones_in_optimizers() -> None:
    from syft.generic.pointers.pointer_tensor import PointerTensor

    alias = PointerTensor.clone

    @functools.wraps(alias)
    def clone(self, *args, **kwargs):
        return self.copy() if _stepping.get() else alias(self, *args, **kwargs)

    @contextmanager
    def stepping(optimizer):
        token = _stepping.set(True)
        try:
            yield
        finally:
            _stepping.reset(token)

    PointerTensor.clone = clone
    _around_step(stepping)


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 1.5 made optimisers work on `p` and `p.grad`; before, on `p.data` and `p.grad.data`",
    broke="steps on PySyft's AutogradTensor fail ('no attribute is_sparse'): its gradient lies one level deeper",
)
def autograd_tensors_in_optimizers() -> None:
    from syft.frameworks.torch.tensors.interpreters.autograd import AutogradTensor

    hooked_grad = torch.nn.Parameter.grad

    def gradient(self):
        # The gradient as the optimiser must see it, for as long as a step takes.
        during_step = self.__dict__.get("_grad_during_step")
        return during_step if during_step is not None else hooked_grad.fget(self)

    @contextmanager
    def without_autograd(parameter):
        autograd = parameter.child
        parameter.child = autograd.child
        if autograd.grad is not None:
            grad = autograd.grad
            parameter._grad_during_step = grad if isinstance(grad, torch.Tensor) else grad.wrap(register=False)
        try:
            yield
        finally:
            parameter.__dict__.pop("_grad_during_step", None)
            autograd.child = parameter.child
            parameter.child = autograd

    def is_tracked(tensor) -> bool:
        return isinstance(getattr(tensor, "child", None), AutogradTensor)

    @contextmanager
    def below_autograd(optimizer):
        with ExitStack() as stack:
            for parameter in filter(is_tracked, _parameters(optimizer)):
                # Adagrad makes its state when it is made itself, like the parameter.
                for state in filter(is_tracked, optimizer.state.get(parameter, {}).values()):
                    state.child = state.child.child
                stack.enter_context(without_autograd(parameter))
            yield

    torch.nn.Parameter.grad = property(gradient, hooked_grad.fset)
    _around_step(below_autograd)


@repair(
    Moment.AFTER_IMPORT,
    upstream="PyTorch 1.5 deprecated `add_(number, tensor)`; its optimisers pass `add_(tensor, alpha=number)` since",
    broke="steps on fixed-precision and shared parameters fail: their `add_` knows no `alpha`",
)
def alpha_of_fixed_precision() -> None:
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def with_alpha(original):
        @functools.wraps(original)
        def method(self, tensor, *args, alpha=None):
            return original(self, tensor, *args) if alpha is None else original(self, alpha, tensor)

        return method

    FixedPrecisionTensor.add_ = with_alpha(FixedPrecisionTensor.add_)
    FixedPrecisionTensor.sub_ = with_alpha(FixedPrecisionTensor.sub_)
