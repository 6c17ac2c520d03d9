"""Applies the repairs when PySyft is imported and when its TorchHook is made; neither imports nor hooks by itself."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING

from pisyft.compat import requirements
from pisyft.compat.registry import Moment, repairs

if TYPE_CHECKING:
    from importlib.abc import Loader


class PySyftFinder:
    """Finds `syft` where Python does, and has it loaded with the repairs. Done once, it leaves `sys.meta_path`."""

    def __init__(self) -> None:
        self.except_for: frozenset[str] = frozenset()
        self.then_import: tuple[str, ...] = ()

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname != "syft":
            return None
        requirements.check()
        requirements.warn_of_untested_torch()
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            # `importlib.abc.Loader` in all but its name: importing that costs `pisyft predict` more than it is worth.
            spec.loader = _RepairingLoader(spec.loader, self)  # type: ignore[assignment]
        return spec


class _RepairingLoader:
    """Runs PySyft's own loader between the repairs before and after the import."""

    def __init__(self, loader: Loader, finder: PySyftFinder) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The modules with repairs import torch, which `pisyft --help` must not wait for.
        from pisyft.compat import catalogue  # noqa: F401

        self._apply(Moment.BEFORE_IMPORT)
        self._loader.exec_module(module)
        self._apply(Moment.AFTER_IMPORT)
        self._repair_around_the_hook(module)
        for name in self._finder.then_import:
            importlib.import_module(name)
        sys.meta_path.remove(self._finder)

    def _apply(self, moment: Moment) -> None:
        for repair in repairs(moment):
            if repair.name not in self._finder.except_for:
                repair.apply()

    def _repair_around_the_hook(self, syft: ModuleType) -> None:
        original = syft.TorchHook.__init__

        @functools.wraps(original)
        def repaired(hook, torch, *args, **kwargs):
            first = not hasattr(torch, "torch_hooked")
            if first:
                self._apply(Moment.BEFORE_HOOK)
            original(hook, torch, *args, **kwargs)
            if first:
                self._apply(Moment.AFTER_HOOK)

        syft.TorchHook.__init__ = repaired


def enable(except_for: Iterable[str] = (), then_import: Iterable[str] = ()) -> None:
    """Have PySyft 0.2.9 repaired when it is imported. `import pisyft` does this.

    Args:
        except_for: names of repairs to leave out, for tests that show what a repair is for.
        then_import: modules to import as soon as PySyft is, because they replace parts of it.

    Whether it is installed is looked at when it is imported (`requirements.check` does it before).

    Raises:
        ValueError: `except_for` names a repair that does not exist.
        RuntimeError: PySyft was imported already, so that it is too late for any of this.
    """
    if "syft" in sys.modules:
        raise RuntimeError("PySyft was imported before PiSyft could repair it: import pisyft first, in a fresh process")
    except_for = frozenset(except_for)
    if except_for:
        from pisyft.compat import catalogue  # noqa: F401

        if unknown := except_for - {repair.name for repair in repairs()}:
            raise ValueError(f"no repair is called {', '.join(sorted(unknown))}")
    finder = next((each for each in sys.meta_path if isinstance(each, PySyftFinder)), None)
    if finder is None:
        finder = PySyftFinder()
        sys.meta_path.insert(0, finder)
    finder.except_for |= except_for
    finder.then_import += tuple(then_import)
