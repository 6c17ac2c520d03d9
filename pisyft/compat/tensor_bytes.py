"""Tensors on the wire: dtype, shape and raw bytes instead of a pickle."""

import math
import sys

import msgpack
import torch

from pisyft import untrusted
from pisyft.compat.registry import Moment, repair


def serialize_tensor(worker, tensor) -> bytes:
    """The tensor's dtype, shape, requires_grad and elements, in C order and the machine's (little) byte order."""
    from syft.serde.torch.serde import TORCH_DTYPE_STR

    shape: tuple[int, ...] = (0,)  # a wrapper is empty: what it wraps travels as its child
    elements = b""
    if not hasattr(tensor, "child"):
        shape = tuple(tensor.shape)
        if tensor.numel():
            # A single element may keep the stride of the tensor that it was cut from, which `reshape` leaves.
            flat = tensor.detach().contiguous().as_strided((tensor.numel(),), (1,))
            elements = flat.view(torch.uint8).numpy().tobytes()
    return msgpack.packb((TORCH_DTYPE_STR[tensor.dtype], shape, tensor.requires_grad, elements))


def deserialize_tensor(worker, tensor_bytes: bytes) -> torch.Tensor:
    """The tensor that `serialize_tensor` wrote.

    Raises:
        ValueError: the bytes are no such tensor, or their number does not fit dtype and shape. Nothing is
            allocated before that is known.
    """
    from syft.serde.torch.serde import TORCH_STR_DTYPE

    try:
        dtype_name, shape, requires_grad, elements = untrusted.unpackb(tensor_bytes, use_list=False)
        dtype = TORCH_STR_DTYPE[dtype_name]
        untrusted.check_shape(shape)
        fits = len(elements) == math.prod(shape) * dtype.itemsize
        if fits and dtype == torch.bool:
            fits = not elements.translate(None, b"\0\1")
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise ValueError(f"not a serialized tensor: {type(error).__name__}") from error
    if not fits:
        raise ValueError(f"{len(elements)} bytes are no tensor of {dtype_name} and shape {shape}")
    if elements:
        # PyTorch wants memory that may be written to, which a copy of the bytes is.
        tensor = torch.frombuffer(bytearray(elements), dtype=dtype).reshape(shape)
    else:
        tensor = torch.empty(shape, dtype=dtype)
    return tensor.requires_grad_() if requires_grad else tensor


@repair(
    Moment.AFTER_IMPORT,
    upstream="PyTorch 1.9 made `torch.save` pickle a tensor's attributes; PyTorch 2.6 made `torch.load` refuse them",
    broke="sending a tensor pickles all that PySyft hangs on it, and whoever reads a pickle runs what is in it",
)
def tensor_serialization() -> None:
    import syft.serde.torch.serde  # noqa: F401

    # The first is where the others have it from: a module that is not imported yet will find the right one there.
    for name in ("syft.serde.torch.serde", "syft.serde.msgpack.torch_serde", "syft.serde.protobuf.torch_serde"):
        if name in sys.modules:
            sys.modules[name].torch_tensor_serializer = serialize_tensor
            sys.modules[name].torch_tensor_deserializer = deserialize_tensor


# What PySyft sets on tensors. None of it means anything in a file.
_PYSYFTS = {
    *("child", "parent", "ptr", "origin", "id_at_origin", "data_id", "grad_id"),
    *("_id", "_syft_id", "_owner", "_is_wrapper", "_tags", "_description", "_grad_was_set"),
}


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 1.9 made `torch.save` pickle a tensor's attributes",
    broke="`torch.save` of a tensor that PySyft has touched fails: 'cannot pickle module object'",
)
def pickled_attributes() -> None:
    original = torch._utils._get_obj_state

    def _get_obj_state(obj):
        state = original(obj)
        if isinstance(obj, torch.Tensor) and isinstance(state, dict):
            return {name: value for name, value in state.items() if name not in _PYSYFTS}
        return state

    torch._utils._get_obj_state = _get_obj_state
