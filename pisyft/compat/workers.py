"""Workers that are made again, as a notebook does whose cell runs a second time, and workers without a hook."""

# PySyft is patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined, method-assign"

import functools

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft has a worker of a known id share all with the one before, then makes it a new crypto store",
    broke="shares of a worker made again cannot be multiplied nor compared: 'doesn't have enough primitives left'",
)
def workers_made_again() -> None:
    from syft.workers.base import BaseWorker

    original = BaseWorker.__init__

    @functools.wraps(original)
    def __init__(self, *args, **kwargs) -> None:
        original(self, *args, **kwargs)
        for known in self._known_workers.values():
            if known.id == self.id and known.object_store is self.object_store:
                self.crypto_store = known.crypto_store

    BaseWorker.__init__ = __init__


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: a worker's hook may be None, but then PySyft asks the hooked framework for its name all the same",
    broke="a worker that takes no pointers cannot be made without hooking PyTorch, which costs start, memory and speed",
)
def workers_without_a_hook() -> None:
    import syft
    from syft.generic.frameworks.remote import Remote

    class NoFramework:
        """What is there before a hook is made."""

        ALIAS = name = "none"

        def __init__(self, worker=None) -> None:
            pass

    Remote.frameworks.setdefault(NoFramework.name, NoFramework)
    syft.framework = syft.framework or NoFramework
