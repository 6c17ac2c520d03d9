"""What a worker holds for its callers: objects by id, who holds how much of them, and why some are not there."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable

import torch
from syft.generic.object_storage import ObjectStore

from pisyft.limits import Limits, OverLimit
from pisyft.transport.frames import Id


class Holding:
    """What one caller holds: its objects, each counted with the memory that it uses.

    Views of one memory count it once.

    Attributes:
        bytes: of all of them.
        connections: of the caller, at the moment. Whoever has none may lose what it holds to those who have.
        left: when the last of them ended, as `time.monotonic` tells it.
    """

    def __init__(self) -> None:
        self.bytes, self.connections, self.left = 0, 0, time.monotonic()
        self._memory_of: dict[Id, tuple[int, int]] = {}
        self._uses: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._memory_of)

    @property
    def ids(self) -> list[Id]:
        return list(self._memory_of)

    def add(self, id_: Id, memory: int, size: int) -> None:
        """Count an object, which uses `size` bytes at `memory`."""
        self.discard(id_)
        self._memory_of[id_] = memory, size
        uses = self._uses.get(memory, 0)
        self._uses[memory] = uses + 1
        if not uses:
            self.bytes += size

    def discard(self, id_: Id) -> None:
        """Do not count an object any more."""
        if id_ not in self._memory_of:
            return
        memory, size = self._memory_of.pop(id_)
        self._uses[memory] -= 1
        if not self._uses[memory]:
            del self._uses[memory]
            self.bytes -= size

    def would_have(self, memory: int, size: int) -> int:
        """The bytes that it would have with such an object."""
        return self.bytes + (0 if memory in self._uses else size)


class _Serving(threading.local):
    holding: Holding | None = None


class WorkerStore(ObjectStore):
    """A worker's objects. What is stored while a thread serves a caller is that caller's, within the limits.

    What the worker keeps is its own: no caller's, whoever is served just then, and as much as there is.
    """

    _REMEMBERED = 10_000

    def __init__(self, owner, limits: Limits) -> None:
        super().__init__(owner)
        self.serving = _Serving()
        self._limits = limits
        self._holding_of: dict[Id, Holding] = {}
        self._holdings: set[Holding] = set()
        self._kept_memory: set[int] = set()
        self._reasons: OrderedDict[Id, BaseException] = OrderedDict()

    def __repr__(self) -> str:
        """What PySyft has in its texts about objects that are not there, which callers read."""
        return "its store"

    def poison(self, ids: Iterable[Id], reason: BaseException) -> None:
        """Have the use of these ids raise `reason`: the operation that should have made them failed."""
        # Alone: the frames of what led to it would keep alive all that they worked with.
        reason.__cause__ = reason.__context__ = None
        reason = reason.with_traceback(None)
        for id_ in ids:
            self._reasons[id_] = reason
            if len(self._reasons) > self._REMEMBERED:
                self._reasons.popitem(last=False)

    def get_obj(self, obj_id: Id):
        if obj_id in self._reasons and obj_id not in self._objects:
            raise self._reasons[obj_id]
        return super().get_obj(obj_id)

    def set_obj(self, obj) -> None:
        """Store an object.

        Raises:
            OverLimit: the caller would hold more than it may.
        """
        if (holding := self.serving.holding) is not None:
            self._charge(holding, obj)
        super().set_obj(obj)

    def foresee(self, elements: int, size: int, objects: int = 1) -> None:
        """Make sure that the results of an operation may be stored, before they are made.

        Args:
            elements: of the largest.
            size: bytes that they will use.
            objects: how many they are.

        Raises:
            OverLimit: the caller would hold more than it may.
        """
        if (holding := self.serving.holding) is not None:
            self._check(elements, holding.bytes + size)
            if objects > 1 and len(holding) + objects > self._limits.objects:
                raise OverLimit("objects", f"you would hold more than {self._limits.objects}; delete pointers")

    def keep(self, tensor: torch.Tensor) -> None:
        """Store one of the worker's own tensors."""
        self._kept_memory.add(_memory(tensor)[0])
        super().set_obj(tensor)

    def keeps(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is one of the worker's own, or a view of one."""
        return _memory(tensor)[0] in self._kept_memory

    def rm_obj(self, obj_id: Id, force: bool = False) -> None:
        self._reasons.pop(obj_id, None)
        if (holding := self._holding_of.pop(obj_id, None)) is not None:
            holding.discard(obj_id)
        super().rm_obj(obj_id, force)

    def clear_objects(self) -> None:
        for id_ in list(self._holding_of):
            self._holding_of.pop(id_).discard(id_)
        super().clear_objects()

    def _charge(self, holding: Holding, obj) -> None:
        memory, size, elements = _memory(obj)
        if memory in self._kept_memory:
            size = 0  # a view of the worker's own
        held = holding.would_have(memory, size)
        self._check(elements, held)
        if len(holding) >= self._limits.objects and obj.id not in self._holding_of:
            raise OverLimit("objects", f"you hold {self._limits.objects} already; delete pointers")
        if size and held != holding.bytes:
            self._make_room(size)
        if (earlier := self._holding_of.get(obj.id)) is not None:
            earlier.discard(obj.id)
        holding.add(obj.id, memory, size)
        self._holding_of[obj.id] = holding
        self._holdings.add(holding)

    def _check(self, elements: int, held: int) -> None:
        limits = self._limits
        if elements > limits.array_values:
            raise OverLimit("array_values", f"a tensor of {elements} elements; {limits.array_values} is the most")
        if held > limits.objects_mb * 2**20:
            raise OverLimit("objects_mb", f"your objects would be more than {limits.objects_mb} MB; delete pointers")

    def _make_room(self, size: int) -> None:
        """Remove what callers hold that have no connection any more, who left first first, as far as needed."""
        most = self._limits.objects_mb_together * 2**20
        total = size + sum(each.bytes for each in self._holdings)
        if total <= most:
            return
        gone = sorted((each for each in self._holdings if not each.connections), key=lambda each: each.left)
        for holding in gone:
            if total <= most:
                return
            total -= holding.bytes
            for id_ in holding.ids:
                self.rm_obj(id_)
            self._holdings.discard(holding)
        if total > most:
            raise OverLimit(
                "objects_mb_together", f"all callers' objects would be more than {most // 2**20} MB; delete pointers"
            )


def _memory(obj) -> tuple[int, int, int]:
    """Which memory an object uses, how many bytes that has, and how many elements the object."""
    while hasattr(obj, "child"):
        obj = obj.child
    if not isinstance(obj, torch.Tensor):
        return 0, 0, 0
    storage = obj.untyped_storage()
    return storage._cdata, storage.nbytes(), obj.numel()
