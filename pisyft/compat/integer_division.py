"""Division of integers that rounds towards zero: what fixed precision and additive sharing are built on.

PySyft 0.2.9 writes `/` for it. `/` of two integer tensors became true division, so truncation after a product
turned shares into floats, and products of shared tensors silently became zero.
"""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined"

import torch

from pisyft.compat.registry import Moment, repair

_UPSTREAM = "PyTorch 1.5 deprecated and 1.6 removed truncation in `/` and `div` of integer tensors"


def _truncating(dividend, divisor):
    """dividend / divisor rounded towards zero; either may be a tensor or a pointer to one."""
    return dividend.div(divisor, rounding_mode="trunc")


@repair(Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="products of fixed-precision tensors become floats, then zeros")
def fixed_precision_division() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor
    from syft.generic.pointers.multi_pointer import MultiPointerTensor

    def truncate(self, precision_fractional, check_sign=True):
        divisor = self.base**precision_fractional
        if isinstance(self.child, AdditiveSharingTensor):
            self.child = self.child / divisor
        else:
            self.child = _truncating(self.child, divisor)
        return self

    original_div = FixedPrecisionTensor.div

    def div(self, other):
        dividend, divisor = self.child, other
        if isinstance(other, FixedPrecisionTensor):
            dividend, divisor = dividend * self.base**self.precision_fractional, other.child
        of_integers = isinstance(dividend, (torch.Tensor, MultiPointerTensor))
        by_integers = isinstance(divisor, (int, torch.Tensor, MultiPointerTensor))
        if not (of_integers and by_integers):
            return original_div(self, other)
        quotient = FixedPrecisionTensor(owner=self.owner, **self.get_class_attributes())
        return quotient.on(_truncating(dividend, divisor), wrap=False)

    def itruediv(self, other):
        self.child = self.div(other).child
        return self

    FixedPrecisionTensor.truncate = truncate
    FixedPrecisionTensor.div = div
    FixedPrecisionTensor.__truediv__ = div
    FixedPrecisionTensor.__itruediv__ = FixedPrecisionTensor.div_ = itruediv


@repair(Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="shares of a quotient become floats")
def share_division() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.generic.frameworks.overload import overloaded

    @overloaded.method
    def _public_div(self, shares, divisor):
        return {worker: _truncating(share, divisor) for worker, share in shares.items()}

    AdditiveSharingTensor._public_div = _public_div


@repair(
    Moment.AFTER_IMPORT,
    upstream="PyTorch 1.13 made `//` of integer tensors round down; before, it rounded towards zero",
    broke="quotients by `//` are too small by one digit, of shared tensors more often than of others",
)
def floor_division() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def floordiv(self, divisor):
        # Of fixed precision not a whole number, but x / divisor, as on PyTorch 1.4.
        return self.div(divisor)

    AdditiveSharingTensor.__floordiv__ = FixedPrecisionTensor.__floordiv__ = floordiv
    FixedPrecisionTensor.floor_divide = floordiv


@repair(Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="SecureNN decomposes a number into fractions instead of bits")
def bit_decomposition() -> None:
    from syft.frameworks.torch.mpc import securenn

    def decompose(tensor, field):
        """The bits of each element, least significant first, in a new last dimension of `log2(field)`."""
        powers = torch.arange(securenn.get_n_bits(field), dtype=securenn.get_torch_dtype(field))
        if hasattr(tensor, "child") and isinstance(tensor.child, dict):
            powers = powers.send(*tensor.child, no_wrap=True)
        for _ in tensor.shape:
            powers = powers.unsqueeze(0)
        moduli = 2**powers
        return torch.fmod(_truncating(tensor.unsqueeze(-1), moduli), 2)

    securenn.decompose = decompose
