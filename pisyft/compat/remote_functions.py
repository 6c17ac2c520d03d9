"""Functions that a coordinator has its workers call by name, as PySyft's own protocols do."""

from collections.abc import Callable
from types import ModuleType


def runs_on_workers(function: Callable, module: ModuleType) -> Callable:
    """`function`, which a coordinator may now have executed by a worker, under a name of PySyft's `module`."""
    from syft.generic.utils import allow_command

    function.__module__ = module.__name__
    setattr(module, function.__name__, function)
    return allow_command(function)
