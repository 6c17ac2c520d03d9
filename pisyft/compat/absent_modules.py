"""Modules that PySyft imports and that are gone, or that nothing here needs: stand-ins that PySyft can import."""

import collections.abc
import hashlib
import importlib.util
import pkgutil
import re
import sys
from importlib.machinery import PathFinder
from types import ModuleType

from pisyft.compat.registry import Moment, repair


def _is_absent(name: str) -> bool:
    return sys.modules.get(name) is None and importlib.util.find_spec(name) is None


def _stand_in(name: str, **attributes: object) -> ModuleType:
    module = ModuleType(name, f"PiSyft's stand-in for {name}, which PySyft {name!r} imports.")
    module.__dict__.update(attributes)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


@repair(
    Moment.BEFORE_IMPORT,
    upstream="PyTorch 2.0 removed `torch._six`",
    broke="`import syft` fails in its federated data loader",
)
def torch_six() -> None:
    import torch  # noqa: F401  (the stand-in becomes its attribute)

    if _is_absent("torch._six"):
        _stand_in("torch._six", string_classes=(str, bytes), int_classes=int, container_abcs=collections.abc)


class _LooseVersion(tuple):
    """Ordered by its numbers, which is all that PySyft's check of TensorFlow's version needs."""

    def __new__(cls, version: str) -> "_LooseVersion":
        return super().__new__(cls, (int(number) for number in re.findall(r"\d+", version)))


# What PySyft and its messages import and hardly use.
_PACKAGING: dict[str, dict[str, object]] = {
    "pkg_resources": {"resource_string": pkgutil.get_data},
    "distutils": {},
    "distutils.version": {"LooseVersion": _LooseVersion},
}


@repair(
    Moment.BEFORE_IMPORT,
    upstream="setuptools 82 removed `pkg_resources`, about which it had warned; Python 3.12 removed `distutils`",
    broke="`import syft_proto` and `import syft` fail, or warn and import all of setuptools",
)
def packaging_modules() -> None:
    for name, attributes in _PACKAGING.items():
        if sys.modules.get(name) is None:
            _stand_in(name, **attributes)


@repair(
    Moment.AFTER_IMPORT,
    upstream="`pkg_resources` and `distutils` may still be there; PySyft was given stand-ins",
    broke="other code that imports the packages would find the stand-ins",
)
def packaging_modules_done() -> None:
    stand_ins = {name: sys.modules[name] for name in _PACKAGING if _is_stand_in(sys.modules.get(name))}
    for name in stand_ins:
        del sys.modules[name]
    for name, module in stand_ins.items():
        # Asking the path alone, since setuptools answers for `distutils` by importing itself.
        providers = (name.partition(".")[0], "setuptools") if name.startswith("distutils") else (name,)
        if not any(PathFinder.find_spec(provider) for provider in providers):
            sys.modules[name] = module


def _is_stand_in(module: ModuleType | None) -> bool:
    return module is not None and (module.__doc__ or "").startswith("PiSyft's stand-in")


@repair(
    Moment.BEFORE_IMPORT,
    upstream="`shaloop` (a Rust loop over SHA-2) was never published for Python 3.10 or later, nor for aarch64",
    broke="`import syft` fails in function secret sharing",
)
def shaloop() -> None:
    def loop(hash_function):
        def hash_rows(rows, digests) -> None:
            """Write the digest of each row of `rows` (n, bytes) into `digests` (n, digest size), both uint8."""
            for row, digest in zip(rows, digests, strict=True):
                digest[:] = memoryview(hash_function(row.tobytes()).digest())

        return hash_rows

    if _is_absent("shaloop"):
        _stand_in("shaloop", sha256_loop_func=loop(hashlib.sha256), sha512_loop_func=loop(hashlib.sha512))


def _missing(package: str, name: str) -> type:
    """What stands for `name` of a package that is not installed: a class that says so when it is used."""
    if name.endswith(("Exception", "Error")):
        return type(name, (Exception,), {})

    def __init__(self, *args, **kwargs):
        raise ModuleNotFoundError(
            f"PySyft needs the package {package!r} for {name}; PiSyft does not: pip install {package}",
            name=package,
        )

    return type(name, (), {"__init__": __init__})


# package on the index: the modules of it that PySyft imports when it is imported itself
_OPTIONAL = {
    "aiortc": ("aiortc", "aiortc.contrib", "aiortc.contrib.signaling"),
    "openmined.threepio": ("pythreepio", "pythreepio.threepio", "pythreepio.command"),
    "phe": ("phe", "phe.paillier"),
    "psutil": ("psutil",),
    "requests": ("requests",),
    "requests-toolbelt": ("requests_toolbelt",),
    "websocket-client": ("websocket", "websocket._exceptions"),
}


_are_left_out = False


def leave_out_optional_packages() -> None:
    """Have PySyft find stand-ins for them, whether they are installed or not."""
    global _are_left_out
    _are_left_out = True


@repair(
    Moment.BEFORE_IMPORT,
    upstream="PySyft's grid, WebRTC, Paillier and plan-translation packages are heavy or old, and a Pi needs none",
    broke="`import syft` fails where one of them is not installed",
)
def optional_packages() -> None:
    for package, modules in _OPTIONAL.items():
        if sys.modules.get(modules[0]) is not None or not (_are_left_out or _is_absent(modules[0])):
            continue
        for module in modules:

            def attribute(name: str, package: str = package) -> type:
                if name.startswith("__"):
                    raise AttributeError(name)
                return _missing(package, name)

            _stand_in(module, __getattr__=attribute, __path__=[])
