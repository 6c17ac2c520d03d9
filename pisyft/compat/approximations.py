"""PySyft's approximations of functions, of tensors on which they were not tried: unshared ones, and matrices."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

import functools

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft's `log` refreshes shares, whether there are any or not",
    broke="`log` of a tensor that is not shared fails: 'Refresh should only be called on AdditiveSharedTensors'",
)
def log_without_shares() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def refresh(self):
        if not isinstance(self.child, AdditiveSharingTensor):
            return self
        fresh = FixedPrecisionTensor(owner=self.owner, **self.get_class_attributes())
        return fresh.on(self.child.refresh(), wrap=False)

    FixedPrecisionTensor.refresh = refresh


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft's Chebyshev polynomials take vectors only",
    broke="`tanh` and `sigmoid` of a matrix fail, those of a square one have three dimensions",
)
def tanh_of_any_shape() -> None:
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    of_vector = FixedPrecisionTensor._tanh_chebyshev

    @functools.wraps(of_vector)
    def _tanh_chebyshev(tensor, maxval=6, terms=32):
        return of_vector(tensor.reshape(-1), maxval, terms).reshape(tensor.shape)

    FixedPrecisionTensor._tanh_chebyshev = staticmethod(_tanh_chebyshev)
