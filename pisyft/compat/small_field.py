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

    # Two shares a and b add up to n, or are off by 2**32 where the sum wraps around. For |n| < 2**30, it is too large
    # exactly where a >= 2**30 and b >= 0, and too small exactly where a < -2**30 and b < 0. That is computed on shares,
    # too, and 2**32 / divisor is taken off the quotient or added to it.

    def part_of_first(share, divisor):
        """The quotient of a, rounded down; a >= 2**30; a >= 2**30 or a < -2**30; zero."""
        share = share.long()
        large, small = share >= 2**30, share < -(2**30)
        part = torch.div(share, divisor, rounding_mode="floor")
        return part.int(), large.int(), (large | small).int(), torch.zeros_like(share).int()

    def part_of_second(share, divisor):
        """The quotient of b, rounded up, so that what leaves no remainder is exact; b < 0; zero."""
        share = share.long()
        part = -torch.div(-share, divisor, rounding_mode="floor")
        return part.int(), (share < 0).int(), torch.zeros_like(share).int()

    part_of_first = runs_on_workers(part_of_first, spdz)
    part_of_second = runs_on_workers(part_of_second, spdz)

    @functools.wraps(divide)
    def _public_div(self, divisor):
        nothing_lost = isinstance(divisor, int) and divisor == 1
        if self.dtype != "int" or len(self.child) != 2 or nothing_lost:
            return divide(self, divisor)

        def shares(of_a, of_b):
            return AdditiveSharingTensor(shares={a: of_a, b: of_b}, owner=self.owner, **self.get_class_attributes())

        divisor, (a, b) = _innermost(divisor), self.child
        size = divisor.abs()
        first, second = (remote(part_of_first, location=a), remote(part_of_second, location=b))
        a_part, a_large, a_far, a_zero = first(self.child[a], size, return_arity=4)
        b_part, b_negative, b_zero = second(self.child[b], size, return_arity=3)
        too_small = shares(a_far, b_zero) * shares(a_zero, b_negative) - shares(a_large, b_zero)
        of_field = (2**33 + size) // (2 * size)  # 2**32 / size, to the nearest
        return (shares(a_part, b_part) + too_small * of_field.int()) * divisor.sign().int()

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
