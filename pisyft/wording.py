"""Words that several texts have."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """How many, as in "1 name" or "400 names"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
