"""Is PySyft 0.2.9 here? Answered from installed metadata alone, so that the answer costs no import."""

from __future__ import annotations

import re
import warnings

# The one release with `TorchHook`, pointers and `fix_precision().share()` in their last form. The repairs are
# written against its source; any other release would need others.
PYSYFT = "0.2.9"
SYFT_PROTO = "0.5.3"
NEWEST_TESTED_TORCH = (2, 13)
WITHOUT_DEPENDENCIES = (f"syft=={PYSYFT}", f"syft-proto=={SYFT_PROTO}")

_warned: dict = {}


class PySyftMissing(ImportError):
    """PySyft 0.2.9 is not installed, or another release of it is. The text says what to type."""


def _version(distribution: str) -> str | None:
    from importlib import metadata  # which imports `email` and more, and `pisyft predict` asks for no version

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def problem() -> str | None:
    """Why PySyft cannot be imported here, in one sentence with the next step; None where it can."""
    found = _version("syft")
    mend = "Run `pisyft setup`, which installs it without its 2020 dependencies."
    if found is None:
        return f"PiSyft needs PySyft {PYSYFT} (package `syft`), which is not installed. {mend}"
    if found != PYSYFT:
        return f"PiSyft repairs PySyft {PYSYFT}, but `syft` {found} is installed. {mend}"
    if _version("syft-proto") is None:
        return f"PySyft {PYSYFT} needs `syft-proto`, which is not installed. {mend}"
    return None


def check() -> None:
    """Raise PySyftMissing if PySyft 0.2.9 cannot be imported here."""
    if text := problem():
        raise PySyftMissing(text)


def warn_of_untested_torch() -> None:
    """Say in one line that PyTorch is newer than any that PiSyft was tested with, where it is."""
    version = _version("torch") or ""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers > NEWEST_TESTED_TORCH:
        newest = ".".join(map(str, NEWEST_TESTED_TORCH))
        text = f"PiSyft was tested with PyTorch up to {newest}; this is {version}"
        # Explicitly, since a warning with a place in a file prints that line of it, too.
        warnings.warn_explicit(text, UserWarning, "pisyft", 1, registry=_warned)
