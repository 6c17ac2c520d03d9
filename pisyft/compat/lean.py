"""What a worker leaves out to stay small: packages that PyTorch and PySyft import, and that a Pi has no use for."""

import functools
import sys
from types import ModuleType

from pisyft.compat import absent_modules


def leave_out_what_workers_do_not_need() -> None:
    """Have this process import neither PyTorch's compiler nor the packages that PySyft can do without.

    That is 90 MB of memory, and seconds at the start. To be called before PySyft is imported.
    """
    absent_modules.leave_out_optional_packages()
    _leave_out_compiler()


def _leave_out_compiler() -> None:
    # Each of PyTorch's optimisers imports the compiler (torch._dynamo) to tell it that it has nothing to do there.
    import torch

    if "torch._dynamo" not in sys.modules:
        stand_in = ModuleType("torch._dynamo", "PiSyft's stand-in for PyTorch's compiler, which a worker leaves out.")
        stand_in.__dict__.update(graph_break=lambda *args, **kwargs: None, disable=_as_it_is)
        sys.modules["torch._dynamo"] = torch._dynamo = stand_in


def _as_it_is(function=None, recursive: bool = True, **options):
    """What `torch._dynamo.disable` does where nothing is compiled; it may be called as a decorator, too."""
    if function is None:
        return functools.partial(_as_it_is, recursive=recursive, **options)
    return function
