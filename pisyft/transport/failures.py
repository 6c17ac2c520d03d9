"""Exceptions that cross the wire: described by the worker that failed, raised again where the call was made."""

from __future__ import annotations

import builtins

import syft

from pisyft.transport.frames import Failure
from pisyft.transport.outbox import Origin
from pisyft.transport.serialization import read_answer

# What PySyft itself reads off an exception that a worker raised.
_CARRIED = ("ids_generated", "kwargs_")
_MOST_LETTERS = 4096
_kinds: dict[tuple[str, str], type[BaseException]] = {}


def carry(kind: type[BaseException]) -> type[BaseException]:
    """Have exceptions of a type cross the wire as what they are. A decorator; the text must be the only argument."""
    _kinds[kind.__module__, kind.__name__] = kind
    return kind


def is_for_callers(error: BaseException) -> bool:
    """Whether an exception was written to be told: a refusal, one that crosses the wire, or a wrong argument.

    Others have texts that nobody chose: PyTorch's quote values, the system's name files.
    """
    kind = type(error)
    return hasattr(error, "rule") or (kind.__module__, kind.__name__) in _kinds or kind in (ValueError, TypeError)


def describe(number: int, error: BaseException) -> Failure:
    """The frame that reports `error`, which request `number` raised."""
    kind = next(each for each in type(error).__mro__ if _known(each.__module__, each.__name__) is each)
    attributes = {name: getattr(error, name) for name in _CARRIED if hasattr(error, name)}
    return Failure(number, number, kind.__module__, kind.__name__, _text(error), _serialized(attributes))


def rebuild(failure: Failure, worker: object, origin: Origin | None = None) -> BaseException:
    """The exception that a worker described: the same type, its text naming the worker, `error.worker` its id.

    Args:
        origin: where the request was made, if it was not waited for.

    A type that is neither Python's nor PySyft's nor PiSyft's becomes a RuntimeError: nothing that was received
    is imported or called.
    """
    kind = _known(failure.module, failure.name) or RuntimeError
    # Past the constructors, whose arguments are not known here.
    error = kind.__new__(kind)
    error.args = (f"{failure.text} (on worker {worker}{f', in {origin}' if origin else ''})",)
    attributes = _read(failure.attributes)
    for name in _CARRIED:
        if name in attributes:
            setattr(error, name, attributes[name])
    error.worker = worker  # type: ignore[attr-defined]
    return error


def _known(module: str, name: str) -> type[BaseException] | None:
    """The exception type of that name, if it is Python's, PySyft's or PiSyft's and its text is its argument."""
    from pisyft.transport import errors

    if (module, name) in _kinds:
        return _kinds[module, name]

    namespace = {"builtins": builtins, "syft.exceptions": syft.exceptions, errors.__name__: errors}.get(module)
    kind = getattr(namespace, name, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)) or kind.__module__ != module:
        return None
    return None if issubclass(kind, (UnicodeError, KeyboardInterrupt, SystemExit, GeneratorExit)) else kind


def _serialized(attributes: dict) -> bytes:
    return syft.serde.serialize(attributes) if attributes else b""


def _read(data: bytes) -> dict:
    """The attributes that `_serialized` wrote; none if these bytes are something else: the failure is told anyway."""
    try:
        attributes = read_answer(data) if data else {}
    except Exception:
        return {}
    return attributes if isinstance(attributes, dict) else {}


def _text(error: BaseException) -> str:
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])[:_MOST_LETTERS]  # str() of a KeyError is the repr of its key
    # What a caller has sent may stand in it, of any length, and answers are kept in case that they are asked for again.
    return str(error)[:_MOST_LETTERS] or type(error).__name__
