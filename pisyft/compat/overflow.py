"""Products, quotients and truncations that cannot be right: refused."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

import functools

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft's integers wrap around",
    broke="products and quotients too large for the field are garbage; with 5 digits in 32 bits even 1 * 1",
)
def products_that_fit() -> None:
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def check(self, other, multiply) -> None:
        if not isinstance(other, FixedPrecisionTensor):
            return
        fits, one = self.field // 2, self.base ** (2 * self.precision_fractional)
        if one >= fits:
            raise OverflowError(
                f"numbers with {self.precision_fractional} digits cannot be multiplied or divided in the field of"
                f" {self.field.bit_length() - 1} bits: 1 * 1 does not fit. Use dtype='long' or fewer digits"
            )
        # What is shared cannot be looked at.
        if isinstance(self.child, torch.Tensor) and isinstance(other.child, torch.Tensor):
            products = multiply(self.child.double().abs(), other.child.double().abs())
            if products.numel() and products.max() >= fits:
                raise OverflowError(
                    f"a result of {products.max() / one:.6g} does not fit: with {self.precision_fractional} digits in"
                    f" the field of {self.field.bit_length() - 1} bits, results stay below {fits / one:.6g}"
                )

    multiply_or_divide, multiply_matrices = FixedPrecisionTensor.mul_and_div, FixedPrecisionTensor.matmul
    divide = FixedPrecisionTensor.div

    @functools.wraps(multiply_or_divide)
    def mul_and_div(self, other, cmd):
        if cmd == "mul":
            check(self, other, torch.mul)
        return multiply_or_divide(self, other, cmd)

    @functools.wraps(divide)
    def div(self, other):
        # The dividend is multiplied by 1 in fixed precision.
        check(self, other, lambda dividend, _: dividend * float(self.base**self.precision_fractional))
        return divide(self, other)

    @functools.wraps(multiply_matrices)
    def matmul(self, other):
        check(self, other, torch.matmul)
        return multiply_matrices(self, other)

    def pow(self, power):
        # PySyft squares once more than it needs, which may not fit.
        if not isinstance(power, int) or power < 1:
            raise NotImplementedError(f"fixed-precision tensors have whole powers from 1 on, not {power!r}")
        result, square = None, self
        while power:
            if power % 2:
                result = square if result is None else result * square
            power //= 2
            square = square * square if power else square
        return result

    FixedPrecisionTensor.pow = FixedPrecisionTensor.__pow__ = pow
    FixedPrecisionTensor.mul_and_div = mul_and_div
    FixedPrecisionTensor.div = FixedPrecisionTensor.__truediv__ = div
    FixedPrecisionTensor.matmul = FixedPrecisionTensor.__matmul__ = FixedPrecisionTensor.mm = matmul


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft has each worker divide its own share, which is right for two workers",
    broke="with three or more, one public product, quotient or mean in five is silently wrong",
)
def truncation_by_two() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    divide = AdditiveSharingTensor._public_div

    @functools.wraps(divide)
    def _public_div(self, divisor):
        if len(self.child) > 2:
            raise NotImplementedError(
                f"shares of {len(self.child)} workers cannot be divided, nor truncated after a product: PySyft can for"
                " two. Get the sum first, or share between two workers"
            )
        return divide(self, divisor)

    AdditiveSharingTensor._public_div = _public_div
