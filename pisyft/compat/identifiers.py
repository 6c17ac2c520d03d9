"""Object ids that two coordinators never share, remembered in bounded space."""

import os
import random
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable

from pisyft.compat.registry import Moment, repair

# Ids fit protobuf's signed 64 bits; with 62 random ones the birthday bound of 2**31 objects is beyond any classroom.
_ID_BITS = 62
_REMEMBERED = 10_000


class _SystemIds:
    """Ids from the operating system, fetched many at a time: each operation on a pointer takes two."""

    def __init__(self) -> None:
        self._fetched: list[int] = []
        # A forked child would go on with the parent's.
        os.register_at_fork(after_in_child=self._fetched.clear)

    def draw(self) -> int:
        try:
            drawn = self._fetched.pop()
        except IndexError:
            self._fetched.extend(array("Q", os.urandom(8 * 512)))
            drawn = self._fetched.pop()
        return (drawn >> (64 - _ID_BITS)) + 1


class RecentIds:
    """The ids generated last, for the check that a given id is new: as much of a set as PySyft uses."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int, None] = OrderedDict()

    def add(self, id_: int) -> None:
        self._ids[id_] = None
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def intersection(self, ids: Iterable[int]) -> set[int]:
        return {id_ for id_ in ids if id_ in self._ids}


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: ids come from Python's seedable generator, out of 10^11",
    broke="coordinators with the same seed overwrite each other's objects, and the set of used ids grows for ever",
)
def object_ids() -> None:
    import syft
    from syft.generic import id_provider

    system = _SystemIds()
    draw: Callable[[], int] = system.draw

    def create_random_id() -> int:
        return draw()

    def seed(seed: int = 0) -> None:
        # Asked for by name (`TorchHook(torch, seed=...)`), so repeatable: by a generator of its own.
        nonlocal draw
        generator = random.Random(seed)

        def draw() -> int:
            return generator.getrandbits(_ID_BITS) + 1

    original_init = id_provider.IdProvider.__init__

    def __init__(self, given_ids=None) -> None:
        original_init(self, given_ids)
        self.generated = RecentIds()

    id_provider.create_random_id = create_random_id
    id_provider.IdProvider.__init__ = __init__
    id_provider.IdProvider.seed = staticmethod(seed)
    syft.ID_PROVIDER.generated = RecentIds()
