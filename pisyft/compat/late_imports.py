"""Parts of PyTorch that must be imported before its functions are replaced."""

import importlib

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.BEFORE_HOOK,
    upstream="PyTorch 2.9 imports `torch._dynamo` when the first optimiser is made",
    broke="making an optimiser fails: `torch._dynamo` looks for builtins and finds PySyft's functions",
)
def dynamo() -> None:
    importlib.import_module("torch._dynamo")
