"""The mean of fixed-precision and shared tensors: a sum, divided by how many were added up."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

import functools

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PyTorch takes no mean of integers, and PySyft's `torch.mean` of shares reads positions from 0 only",
    broke="unshared `mean` fails; `torch.mean(shares, dim=1)` and `torch.mean(shares, -1)` are silently wrong",
)
def means() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def mean(self, *args, **kwargs):
        total = self.sum(*args, **kwargs)
        if self.shape.numel() == 0:
            raise ValueError(f"no numbers to take the mean of: the tensor's shape is {tuple(self.shape)}")
        return total / (self.shape.numel() // total.shape.numel())

    for kind in (AdditiveSharingTensor, FixedPrecisionTensor):
        kind.mean = kind.torch.mean = mean


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft compares all pairs of numbers, and asks for none whether there is one",
    broke="`max` and `argmax` of a shared tensor without numbers are silently something, where PyTorch raises",
)
def maximum_of_nothing() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    def refusing(method):
        @functools.wraps(method)
        def of_numbers(self, *args, **kwargs):
            if self.shape.numel() == 0:
                raise RuntimeError(f"no numbers to choose among: the tensor's shape is {tuple(self.shape)}")
            return method(self, *args, **kwargs)

        return of_numbers

    AdditiveSharingTensor.argmax = refusing(AdditiveSharingTensor.argmax)
    AdditiveSharingTensor.max = refusing(AdditiveSharingTensor.max)
