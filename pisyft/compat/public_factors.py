"""Public tensors as operands of shared ones."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

import functools

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft swaps the operands of a matrix product so that the shared one comes first",
    broke="`public @ shared` is silently `shared @ public`",
)
def public_times_shared() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    multiply = FixedPrecisionTensor.matmul

    def transposed(tensor):
        return tensor.transpose(-1, -2) if len(tensor.shape) > 1 else tensor

    @functools.wraps(multiply)
    def matmul(self, other):
        if isinstance(self.child, torch.Tensor) and isinstance(other.child, AdditiveSharingTensor):
            product = multiply(transposed(other), transposed(self))
            return transposed(product) if len(self.shape) > 1 and len(other.shape) > 1 else product
        return multiply(self, other)

    FixedPrecisionTensor.matmul = FixedPrecisionTensor.__matmul__ = FixedPrecisionTensor.mm = matmul


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft wraps a public factor of shares, and forgets to wrap a public divisor",
    broke="dividing shares by a tensor of integers raises an error without a word, which `except Exception` misses",
)
def public_divisors() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    divide = AdditiveSharingTensor.div

    @functools.wraps(divide)
    def div(self, divisor):
        plain = isinstance(divisor, torch.Tensor) and not hasattr(divisor, "child")
        return divide(self, divisor.wrap() if plain else divisor)

    AdditiveSharingTensor.div = AdditiveSharingTensor.__truediv__ = div
