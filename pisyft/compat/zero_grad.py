"""`zero_grad()` that zeroes the gradients of remote parameters."""

import functools

import torch

from pisyft.compat.registry import Moment, repair


def _is_remote(parameter) -> bool:
    return hasattr(parameter, "child")


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 2.0 made `set_to_none=True` the default of `zero_grad()`",
    broke="the local reference is dropped, the remote gradient stays, and gradients silently pile up",
)
def zero_grad_of_remote_parameters() -> None:
    def zero_remote_first(owner: type, parameters_of) -> None:
        original = owner.zero_grad

        @functools.wraps(original)
        def zero_grad(self, set_to_none: bool = True) -> None:
            remote = any(_is_remote(parameter) for parameter in parameters_of(self))
            original(self, set_to_none=set_to_none and not remote)

        owner.zero_grad = zero_grad

    zero_remote_first(torch.nn.Module, torch.nn.Module.parameters)
    zero_remote_first(
        torch.optim.Optimizer,
        lambda optimizer: (each for group in optimizer.param_groups for each in group["params"]),
    )
