"""The field of 32 bits, in which PyTorch's sums of integers do not stay."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined, method-assign"

import torch

from pisyft.compat.registry import Moment, repair


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
