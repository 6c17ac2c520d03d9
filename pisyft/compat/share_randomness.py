"""Additive shares drawn from the operating system's generator, over the whole ring."""

import os

import torch

from pisyft.compat.registry import Moment, repair

_BYTES = {torch.int64: 8, torch.int32: 4}


def random_ring_elements(shape, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of `shape` and `dtype` (int64 or int32), uniform over all its values, from the operating system."""
    shape = torch.Size(shape)
    if not shape.numel():
        return torch.zeros(shape, dtype=dtype)
    return torch.frombuffer(bytearray(os.urandom(shape.numel() * _BYTES[dtype])), dtype=dtype).reshape(shape)


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: shares come from torch's seedable generator and never take the ring's largest value",
    broke="whoever knows or sets the seed can take a share apart from the secret",
)
def additive_shares() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    original = AdditiveSharingTensor.generate_shares

    def generate_shares(self, secret, n_workers, random_type):
        if self.dtype == "custom":
            # A field that is no power of two: PySyft's own generator keeps the shares inside it.
            return original(self, secret, n_workers, random_type)
        shares = [random_ring_elements(secret.shape, random_type) for _ in range(n_workers - 1)]
        # Integers wrap around, so this is subtraction in the ring of 2**64 or 2**32 elements.
        return [*shares, secret.type(random_type) - sum(shares)]

    AdditiveSharingTensor.generate_shares = generate_shares
