"""TorchScript classes that moved inside torch.jit: their old names, and their codes on PySyft's wire."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="union-attr"

import torch

from pisyft.compat.registry import Moment, repair

_MOVED = {
    "torch.jit.TopLevelTracedModule": torch.jit.TopLevelTracedModule
    if hasattr(torch.jit, "TopLevelTracedModule")
    else torch.jit._trace.TopLevelTracedModule,
    "torch.jit.ScriptModule": torch.jit.ScriptModule,
    "torch.jit.ScriptFunction": torch.jit.ScriptFunction,
}


@repair(
    Moment.BEFORE_IMPORT,
    upstream="PyTorch 1.6 moved the TorchScript classes into `torch.jit._trace` and `torch.jit._script`",
    broke="`import syft` fails: PySyft looks them up by their old names, and their wire codes by their modules",
)
def script_classes() -> None:
    from syft_proto import proto_info

    codes = proto_info["TYPES"]
    for old_name, moved in _MOVED.items():
        setattr(torch.jit, old_name.rpartition(".")[2], moved)
        codes.setdefault(f"{moved.__module__}.{moved.__qualname__}", codes[old_name])


@repair(
    Moment.AFTER_HOOK,
    upstream="PyTorch 1.7 compiles the properties of a module's class when it traces the module",
    broke="scripting or tracing a module fails: PySyft's `Module.location` has a try block, which TorchScript lacks",
)
def module_properties() -> None:
    for module in (torch.nn.Module, torch.jit.ScriptModule):
        not_compiled = getattr(module, "__jit_unused_properties__", [])
        module.__jit_unused_properties__ = [*not_compiled, "location", "owner"]
