"""The field of 32 bits: PyTorch's sums of integers leave it, and truncating shares often fails in it."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined, method-assign"

import functools

import torch

from pisyft.compat.registry import Moment, repair
from pisyft.compat.remote_functions import runs_on_workers


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PyTorch adds integers of 32 bits up to one of 64, then and now",
    broke="shares in the field of 32 bits leave it: `max` and `argmax` recurse without end, `var` can be garbage",
)
def sums_of_small_integers() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor
    from syft.generic.frameworks.overload import overloaded

    def in_field(name):
        def method(self, inside, *args, **kwargs):
            if isinstance(inside, dict):
                return {
                    worker: getattr(share, name)(*args, **kwargs).type(self.torch_dtype)
                    for worker, share in inside.items()
                }
            result = getattr(inside, name)(*args, **kwargs)
            return result.type(self.torch_dtype) if isinstance(inside, torch.Tensor) else result

        method.__name__ = name
        return overloaded.method(method)

    for kind in (AdditiveSharingTensor, FixedPrecisionTensor):
        kind.sum, kind.cumsum = in_field("sum"), in_field("cumsum")


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft has each worker divide its own share, which fails once in 2**32 / n times for an integer n",
    broke="in the field of 32 bits one shared product in 43 is silently garbage, of 10 * 10 with three digits",
)
def truncation_in_32_bits() -> None:
    from syft.frameworks.torch.mpc import spdz
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.generic.utils import remote

    divide = AdditiveSharingTensor._public_div

    # Two shares a and b, read as unsigned, add up to n + 2**30, and to 2**32 more where the sum wraps around. For
    # -2**30 <= n < 2**30, n + 2**30 is below 2**31, so that the sum wraps around exactly where a or b is 2**31 or more
    # (Rathee et al., "SiRnn: A Math Library for Secure RNN Inference", 2021: "MSB-to-Wrap"). Each worker divides its
    # share, and 2**32 / divisor is taken off where `a_high or b_high`, which is computed on shares, too.

    def divided_share(share, divisor, is_first: bool):
        """A worker's part of the quotient, whether its share is 2**31 or more, and zero."""
        half = 2**30 if is_first else 0
        unsigned = (share.long() + half) % 2**32
        # One worker rounds down and the other up, so that their errors cancel.
        dividend = unsigned - half if is_first else -unsigned
        quotient = torch.div(dividend, divisor, rounding_mode="floor")
        return (quotient if is_first else -quotient).int(), (unsigned >= 2**31).int(), torch.zeros_like(share)

    divided_share = runs_on_workers(divided_share, spdz)

    @functools.wraps(divide)
    def _public_div(self, divisor):
        nothing_lost = isinstance(divisor, int) and divisor == 1
        if self.dtype != "int" or len(self.child) != 2 or nothing_lost:
            return divide(self, divisor)
        divisor = _innermost(divisor)
        a, b = self.child
        (a_part, a_high, a_zero), (b_part, b_high, b_zero) = (
            remote(divided_share, location=share.location)(share, divisor.abs(), name == a, return_arity=3)
            for name, share in self.child.items()
        )

        def shares(of_a, of_b):
            return AdditiveSharingTensor(shares={a: of_a, b: of_b}, owner=self.owner, **self.get_class_attributes())

        a_high, b_high = shares(a_high, b_zero), shares(a_zero, b_high)
        wraps = a_high + b_high - a_high * b_high
        too_much = (2**33 + divisor.abs()) // (2 * divisor.abs())  # 2**32 / divisor, to the nearest
        return (shares(a_part, b_part) - wraps * too_much.int()) * divisor.sign().int()

    AdditiveSharingTensor._public_div = _public_div


def _innermost(divisor) -> torch.Tensor:
    """The integers inside a public divisor."""
    while hasattr(divisor, "child"):
        divisor = divisor.child
    if not isinstance(divisor, (int, torch.Tensor)):
        raise NotImplementedError(
            f"in the field of 32 bits, shares are divided by whole numbers or tensors, not by {type(divisor).__name__}"
        )
    return torch.as_tensor(divisor).long()
