"""Pointers that are deleted: while Python shuts down, and those to plans."""

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


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft sends the id of a plan where its message takes a list of ids",
    broke="'Exception ignored in ... PointerPlan.__del__: 'int' object is not iterable', and the plan stays remote",
)
def pointers_to_plans() -> None:
    from syft.generic.pointers.object_pointer import ObjectPointer
    from syft.generic.pointers.pointer_plan import PointerPlan

    delete = ObjectPointer.__del__

    def __del__(self) -> None:
        # A plan keeps one pointer for each worker that it was sent to. One to several workers owns none of them.
        if len(self._locations) == 1:
            delete(self)

    PointerPlan.__del__ = __del__
