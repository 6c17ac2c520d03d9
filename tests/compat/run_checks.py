"""Runs checks of `checks.py` with all repairs and without their own; prints what went wrong as JSON.

Each check has a process to itself, forked from one that has already done what all of its kind need: imported PyTorch;
imported PySyft with the repairs that come before; made the hook with all repairs.
"""

import contextlib
import importlib
import inspect
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import checks
import torch

from pisyft import compat
from pisyft.compat import catalogue  # noqa: F401  (registers the repairs)
from pisyft.compat.loader import PySyftFinder

sys.path.append(str(Path(__file__).parent / "installed"))

# A pointer deleted while a check fails says so on stderr; that is not what is tested.
sys.unraisablehook = lambda unraisable: None

BEFORE_IMPORT = {repair.name for repair in compat.repairs(compat.Moment.BEFORE_IMPORT)}
FINDER = next(each for each in sys.meta_path if isinstance(each, PySyftFinder))
PRELOADED = ("asyncio", "lz4.frame", "msgpack", "numpy", "scipy.special", "tblib.pickling_support")


def in_child(function: Callable[[], object]) -> object:
    """What `function` returns, called in a forked process; JSON can write it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as stream:
            json.dump(function(), stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if status == 0 else f"the process ended with status {status}"


def outcome(name: str, prepare: Callable[[], None] = lambda: None) -> str:
    """The traceback of the check, or of `prepare` before it; nothing if it passes."""
    try:
        prepare()
        function = checks.CHECKS[name]
        if inspect.isgeneratorfunction(function):
            list(function())
        else:
            function()
    except BaseException:
        return traceback.format_exc()
    return ""


def with_and_without_before_import(name: str) -> dict[str, object]:
    def without() -> None:
        FINDER.except_for = frozenset({name})

    return {"with": in_child(lambda: outcome(name)), "without": in_child(lambda: outcome(name, without))}


def import_syft_unrepaired() -> None:
    FINDER.except_for = frozenset(repair.name for repair in compat.repairs()) - BEFORE_IMPORT
    importlib.import_module("syft")


def repair_except_for(*names: str) -> None:
    FINDER.except_for, checks.switched_off = frozenset(names), names
    for repair in compat.repairs(compat.Moment.AFTER_IMPORT):
        if repair.name not in names:
            repair.apply()


def all_with_repairs(names: list[str]) -> dict[str, object]:
    repair_except_for()
    checks.hooked()
    return {name: in_child(lambda: outcome(name)) for name in names}  # noqa: B023


def main(names: list[str]) -> dict[str, dict[str, object]]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for module in PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    results = {name: with_and_without_before_import(name) for name in names if name in BEFORE_IMPORT}
    later = [name for name in names if name not in BEFORE_IMPORT]
    import_syft_unrepaired()
    with_repairs = in_child(lambda: all_with_repairs(later))
    for name in later:
        without = in_child(lambda: outcome(name, lambda: repair_except_for(name)))  # noqa: B023
        results[name] = {"with": with_repairs[name], "without": without}
    return results


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:] or list(checks.CHECKS))))
