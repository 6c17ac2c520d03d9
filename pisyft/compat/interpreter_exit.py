"""Pointers that are deleted while Python shuts down."""

import functools
import sys

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="Python 3.4 and later delete what is left in modules at exit, in no order, and print what that raises",
    broke="'Exception ignored in ... ObjectPointer.__del__' at the end of every program that leaves a pointer",
)
def pointers_at_exit() -> None:
    from syft.generic.pointers.object_pointer import ObjectPointer

    original = ObjectPointer.__del__
    # Kept here, because at the very end this module's own names are gone, too.
    is_finalizing = sys.is_finalizing

    @functools.wraps(original)
    def __del__(self) -> None:
        # What is remote goes with the connection; there is nothing left here to send a message with.
        if not is_finalizing():
            original(self)

    ObjectPointer.__del__ = __del__
