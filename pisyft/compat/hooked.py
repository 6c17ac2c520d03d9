"""What the repairs of hooked functions and methods ask: what PyTorch had there, and which arguments are plain."""

from types import NoneType

import torch

TENSORS = (torch.Tensor, torch.nn.Parameter)
# What an argument may be without PySyft having anything to do with it.
PLAIN = frozenset({int, float, bool, str, NoneType, slice, torch.Size, torch.dtype, torch.device})


def hooked_by_pysyft(owner, name: str, function):
    """PyTorch's function of that name, if `function` is what PySyft has put in its place; otherwise None."""
    # PyTorch has functions of its own that are called native_norm, native_batch_norm and so on.
    return getattr(function, "__wrapped__", None) if hasattr(owner, f"native_{name}") else None


def is_overridden(tensor_type: type, path: str) -> bool:
    try:
        tensor_type.rgetattr(tensor_type, path)
    except AttributeError:
        return False
    return True
