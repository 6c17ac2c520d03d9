"""What a worker leaves out to stay small: what PyTorch and PySyft import or prepare, and a Pi has no use for."""

import contextlib
import ctypes
import functools
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from pisyft.compat import absent_modules, loader

# Of protobuf, which PySyft's own wire format does not use, and of pointers, which a worker has hardly any of.
_REPAIRS = ("generated_code", "map_entries", "extend_by_none", "methods_of_pointers", "functions_of_pointers")


def leave_out_what_workers_do_not_need() -> None:
    """Have this process do without PyTorch's compiler, protobuf, and the packages that PySyft need not have.

    That is 140 MB of memory, and seconds at the start. To be called before PySyft is imported.
    """
    _give_memory_back()
    absent_modules.leave_out_optional_packages()
    _leave_out_compiler()
    sys.meta_path.insert(0, _NoGeneratedCode())
    loader.enable(except_for=_REPAIRS)


def _give_memory_back() -> None:
    """Have all threads take memory from one place, so that what one has freed is there for the next (mallopt(3)).

    Thresholds below glibc's own would save another megabyte, and cost `fit` a sixth of its speed: each batch's tensors
    would be asked of the system, and given back to it.
    """
    arena_max = -8
    with contextlib.suppress(AttributeError, OSError):  # the C library is another one than glibc
        ctypes.CDLL(None).mallopt(arena_max, 1)


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


class _NoGeneratedCode(MetaPathFinder, Loader):
    """Finds empty classes in place of the ones that protobuf's compiler made for PySyft's messages."""

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname.startswith("syft_proto.") and fullname.endswith("_pb2"):
            return ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name, "PiSyft's stand-in for generated code that a worker leaves out.")

    def exec_module(self, module: ModuleType) -> None:
        def attribute(name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

        module.__getattr__ = attribute  # type: ignore[method-assign]
