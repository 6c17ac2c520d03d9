"""Operations that PySyft has not written for fixed-precision and shared tensors: refused where they would be wrong.

PySyft hands whatever it does not know to the integers inside. That is right for operations that move numbers or add
them up. Any other sees 1500 where the user sees 1.5, or a random share.
"""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, attr-defined, method-assign"

import functools

import torch

from pisyft.compat.registry import Moment, repair

_MOVES = """
    adjoint as_strided broadcast_tensors broadcast_to cat chunk clone constant_pad_nd contiguous copy copy_ cpu
    detach detach_ diag diag_embed diagflat diagonal diagonal_scatter dsplit dstack expand expand_as flatten flip
    fliplr flipud gather hsplit hstack index_copy index_copy_ index_put index_put_ index_select int long
    masked_select moveaxis movedim narrow narrow_copy new_zeros pad permute ravel repeat repeat_interleave reshape
    reshape_as resize_ resize_as_ roll rot90 scatter select select_scatter slice_inverse slice_scatter split
    split_with_sizes squeeze squeeze_ stack swapaxes swapaxes_ swapdims swapdims_ t t_ take take_along_dim
    tensor_split tile to_dense transpose transpose_ tril tril_ triu triu_ type type_as unbind unflatten unfold
    unsafe_chunk unsafe_split unsqueeze unsqueeze_ view view_as vsplit vstack where zero_ zeros_like
"""
_ADDS = "add_ cumsum cumsum_ diff index_add index_add_ neg neg_ negative negative_ sub_ sum sum_to_size trace"
_ASKS = """
    backward const_data_ptr data_ptr dense_dim dim dim_order element_size get_device has_names is_coalesced
    is_complex is_conj is_contiguous is_floating_point is_inference is_leaf is_neg is_pinned is_same_size
    is_set_to is_shared is_signed ndimension nelement numel register_hook requires_grad_ retain_grad share_memory_
    size storage_offset stride
"""
_LOOKS_AT_NUMBERS = """
    abs_ absolute absolute_ amax amin aminmax cummax cummin double equal float fmax fmin kthvalue max maximum
    median min minimum mode msort relu relu_ sort to topk unique unique_consecutive
"""
# Functions are known by the last part of their name, too: `torch.nn.functional.pad` is `pad`.
_OF_SHARES = frozenset((_MOVES + _ADDS + _ASKS).split())
_OF_FIXED_PRECISION = _OF_SHARES | frozenset(_LOOKS_AT_NUMBERS.split())
# Python's own methods are left alone, but for those that compute.
_COMPUTING = frozenset(
    f"__{name}__"
    for name in (
        "abs complex contains float ifloordiv imod int ipow long rdiv rfloordiv rmatmul rmod rpow rtruediv".split()
    )
)


def _is_forwarded(kind: type, name: str) -> bool:
    """Has PySyft made this method of `kind` itself, by handing it on to the integers inside?"""
    return getattr(vars(kind).get(name), "__wrapped__", None) == name


def _refused(kind: type, name: str) -> NotImplementedError:
    return NotImplementedError(
        f"PySyft has no {name!r} for {kind.__name__}s: it would compute with the integers inside"
    )


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 1.5 brought `square`, 1.7 `multiply` and `sqrt` of integers, each release more such methods",
    broke="they are handed to the integers inside: wrong numbers, silently; with shares, random ones",
)
def unknown_methods() -> None:
    import syft
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def refuse(kind: type, name: str) -> None:
        def method(self, *args, **kwargs):
            raise _refused(kind, name)

        setattr(kind, name, method)

    def truth(name: str):
        forwarded = getattr(FixedPrecisionTensor, name)

        def method(self, *args, **kwargs):
            result = forwarded(self, *args, **kwargs)
            result.child = result.child.type(self.torch_dtype) * self.base**self.precision_fractional
            return result

        return method

    def copy_(self, other):
        if not isinstance(other, FixedPrecisionTensor):
            raise _refused(FixedPrecisionTensor, "copy_")
        return copied(self, other)

    fixed, copied = FixedPrecisionTensor, FixedPrecisionTensor.copy_
    fixed.copy_ = copy_
    fixed.all, fixed.any = truth("all"), truth("any")
    fixed.square = lambda self: self * self
    fixed.abs = fixed.__abs__ = fixed.modulus
    fixed.multiply = fixed.__rmul__ = fixed.mul
    fixed.subtract, fixed.divide, fixed.true_divide = fixed.sub, fixed.div, fixed.div
    AdditiveSharingTensor.abs = lambda self: self * ((self >= 0) * 2 - 1)
    for kind, known in ((FixedPrecisionTensor, _OF_FIXED_PRECISION), (AdditiveSharingTensor, _OF_SHARES)):
        for name in syft.hook.to_auto_overload[torch.Tensor]:
            computes = name in _COMPUTING if name.startswith("_") else name not in known
            if computes and _is_forwarded(kind, name):
                refuse(kind, name)


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft runs a function that it has not written itself on the integers inside",
    broke="`torch.relu` of shares is random, and `torch.argmax` of fixed precision 1000 times too small",
)
def unknown_functions() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor

    def careful(kind: type, known: frozenset[str]):
        original = kind.handle_func_command.__func__

        @functools.wraps(original)
        def handle_func_command(cls, command):
            path, _, args, kwargs = command
            name = path.rpartition(".")[2]
            if _is_written(cls, path) or name in known:
                return original(cls, command)
            if path == f"torch.{name}" and name in vars(cls) and not _is_forwarded(cls, name):
                return getattr(args[0], name)(*args[1:], **kwargs)
            raise _refused(cls, path)

        return classmethod(handle_func_command)

    def _is_written(kind: type, path: str) -> bool:
        try:
            kind.rgetattr(kind, path)
        except AttributeError:
            return False
        return True

    FixedPrecisionTensor.handle_func_command = careful(FixedPrecisionTensor, _OF_FIXED_PRECISION)
    AdditiveSharingTensor.handle_func_command = careful(AdditiveSharingTensor, _OF_SHARES)
