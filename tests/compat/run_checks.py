"""Runs each check of `checks.py` with all repairs and without its own; prints what went wrong as JSON.

A process of its own, because it forks: PyTorch is imported once, PySyft anew in each child, and nothing else runs.
"""

import contextlib
import importlib
import inspect
import json
import os
import sys
import traceback
import warnings

import checks
import torch

from pisyft import compat

# Imported once, for all children: what PySyft imports and no check hides or watches.
PRELOADED = ("asyncio", "lz4.frame", "msgpack", "numpy", "scipy.special", "tblib.pickling_support", "torch.export")

# A pointer deleted while a check fails says so on stderr; that is not what is tested.
sys.unraisablehook = lambda unraisable: None


def run(name: str, except_for: tuple[str, ...]) -> str:
    """What the check says in a fresh process without those repairs: nothing if it passes."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as stream:
            stream.write(_outcome(name, except_for))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return said if status == 0 else said or f"the process ended with status {status}"


def _outcome(name: str, except_for: tuple[str, ...]) -> str:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        compat.enable(except_for=except_for)
        function = checks.CHECKS[name]
        if inspect.isgeneratorfunction(function):
            list(function())
        else:
            function()
    except BaseException:
        return traceback.format_exc()
    return ""


if __name__ == "__main__":
    for module in PRELOADED:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    names = sys.argv[1:] or list(checks.CHECKS)
    print(json.dumps({name: {"with": run(name, ()), "without": run(name, (name,))} for name in names}))
