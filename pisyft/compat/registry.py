"""What a repair is: a named function, the moment it is applied, and the upstream change that made it necessary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Moment(Enum):
    """When a repair is applied. The order of the members is the order in which the moments come."""

    BEFORE_IMPORT = "before PySyft is imported"
    AFTER_IMPORT = "after PySyft is imported, before anything is hooked"
    BEFORE_HOOK = "when a TorchHook is made, before it hooks PyTorch"
    AFTER_HOOK = "when a TorchHook is made, after it has hooked PyTorch"


@dataclass(frozen=True)
class Repair:
    """One cause, mended.

    Attributes:
        name: the function's name; what `enable(except_for=...)` takes.
        moment: when it is applied.
        upstream: what changed since PySyft 0.2.9 was released, and in which version.
        broke: what PySyft does without the repair.
    """

    name: str
    moment: Moment
    upstream: str
    broke: str
    apply: Callable[[], None]


_REPAIRS: dict[str, Repair] = {}


def repair(moment: Moment, *, upstream: str, broke: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the decorated function, which takes nothing and returns nothing, as a repair."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name = function.__name__
        if name in _REPAIRS:
            raise ValueError(f"two repairs are called {name!r}")
        _REPAIRS[name] = Repair(name, moment, upstream, broke, function)
        return function

    return register


def repairs(moment: Moment | None = None) -> list[Repair]:
    """All repairs, in the order in which they are applied; with `moment`, those of that moment."""
    return [each for now in Moment if moment in (None, now) for each in _REPAIRS.values() if each.moment is now]
