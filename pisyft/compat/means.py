"""The mean of fixed-precision and shared tensors: a sum, divided by how many were added up."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

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
