"""`zero_grad()` that zeroes the gradients of remote parameters."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined"

import functools
import itertools

import torch

from pisyft.compat.many_tensors import is_remote, zero_remote_gradients
from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 2.0 made `set_to_none=True` the default of `zero_grad()`; 1.7 made it look at `grad.grad_fn`",
    broke="the local reference is dropped, the remote gradient stays, and gradients silently pile up",
)
def zero_grad_of_remote_parameters() -> None:
    from syft.frameworks.torch.tensors.interpreters.autograd import AutogradTensor

    def zero_remote(owner: type, parameters_of) -> None:
        original = owner.zero_grad

        @functools.wraps(original)
        def zero_grad(self, set_to_none: bool = True) -> None:
            parameters = list(parameters_of(self))
            if not any(hasattr(parameter, "child") for parameter in parameters):
                original(self, set_to_none=set_to_none)
                return
            zero_remote_gradients(filter(is_remote, parameters))
            for parameter in itertools.filterfalse(is_remote, parameters):
                if isinstance(getattr(parameter, "child", None), AutogradTensor):
                    # Its gradient is kept here, not on the worker.
                    parameter.child.grad = None
                elif parameter.grad is not None:
                    parameter.grad.zero_()

        owner.zero_grad = zero_grad

    zero_remote(torch.nn.Module, torch.nn.Module.parameters)
    zero_remote(
        torch.optim.Optimizer,
        lambda optimizer: (each for group in optimizer.param_groups for each in group["params"]),
    )
