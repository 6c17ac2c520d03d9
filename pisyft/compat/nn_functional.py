"""Functions of torch.nn.functional that PySyft's tensors must see inside."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined"

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 1.10 made `torch.nn.functional.linear` a builtin (it was Python: `addmm` or `matmul` and `add`)",
    broke="linear layers on fixed-precision, shared or logged tensors fail, since nothing inside is hooked",
)
def linear() -> None:
    builtin = torch.nn.functional.native_linear

    def native_linear(input, weight, bias=None):
        # A plan gets its input wrapped, even where it is an ordinary tensor. (A fixed-precision tensor is none itself.)
        if isinstance(input, torch.Tensor) and isinstance(getattr(input, "child", None), torch.Tensor):
            input = input.child
        if not any(hasattr(each, "child") for each in (input, weight, bias)):
            return builtin(input, weight, bias)
        if bias is not None and input.dim() == 2:
            return torch.addmm(bias, input, weight.t())
        output = input.matmul(weight.t())
        return output if bias is None else output + bias

    torch.nn.functional.native_linear = native_linear
