"""Comparisons of fixed-precision tensors: by operator or by name, with numbers, tensors and shares."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

import functools

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft scales the results of operators only, and no number that it compares with",
    broke="`x > 2` compares with 0.002, `x.gt(y)` gives 0.001 for true, unshared `tanh` and `sigmoid` fail",
)
def comparisons() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def is_shared(tensor) -> bool:
        return isinstance(tensor.child, AdditiveSharingTensor)

    def in_fixed_precision(compare):
        @functools.wraps(compare)
        def method(self, other):
            if isinstance(other, torch.Tensor) and isinstance(getattr(other, "child", None), FixedPrecisionTensor):
                other = other.child
            if isinstance(other, (int, float)):
                other = int(other * self.base**self.precision_fractional)
            elif isinstance(other, FixedPrecisionTensor) and is_shared(self) != is_shared(other):
                # Shares compare with shares or a number.
                self, other = self - other, 0
            return compare(self, other)

        return method

    for name in ("gt", "ge", "lt", "le", "eq"):
        compare = in_fixed_precision(getattr(FixedPrecisionTensor, f"__{name}__"))
        setattr(FixedPrecisionTensor, f"__{name}__", compare)
        setattr(FixedPrecisionTensor, name, compare)


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft compares the square of the difference with zero, which need not fit the field",
    broke="`==` of shares is silently garbage where numbers differ by much: by 20, in the field of 32 bits",
)
def equality_without_squares() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    compare = AdditiveSharingTensor.eq

    @functools.wraps(compare)
    def eq(self, other):
        if self.protocol != "snn":
            return compare(self, other)
        difference = self - other
        # PySyft's `positive` is "zero or more".
        return difference.positive() + (difference * -1).positive() - 1

    AdditiveSharingTensor.eq = eq
