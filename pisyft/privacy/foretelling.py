"""Operations on names neither fail, nor have results of a shape, that tells something of the names.

`zeros(3)[language]` fails if the language is 3 or more, `letters[languages == 2]` is as long as there are names of the
third language, and `ones(1).expand(language)` is as long as the language's number. An error or a shape is an answer. So
each operation is foretold: executed on tensors that have a shape and no elements (PyTorch's device "meta"). What fails
there fails whatever the names are, and may be told. What does not has a shape that is the same for all names; should it
fail later on the names themselves, its caller gets zeros that look like a result.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import NoneType

import torch

from pisyft.privacy.labels import leaves
from pisyft.refusals import NotPermitted

_REMEMBERED = 4096
_PLAIN = (NoneType, bool, int, float, str, bytes, torch.dtype, torch.Size, type(...))


class Foretelling:
    """Remembers what operations come to, by their arguments' shapes, so that each is foretold once.

    Args:
        find: the function of a name like "torch.add".
    """

    def __init__(self, find: Callable[[str], Callable]) -> None:
        self._find = find
        self._foretold: OrderedDict[object, object] = OrderedDict()

    def foretell(self, name: str, target: object, args: tuple, kwargs: dict) -> object:
        """What an operation returns, as tensors without elements.

        Raises:
            Exception: what it raises whatever the elements are.
            GetNotPermittedError: whether it fails, or the shape of its result, would depend on elements.
        """
        key = (name, _key(target), _key(args), _key(kwargs))
        if key not in self._foretold:
            self._foretold[key] = self._execute(name, *(_hollow(each) for each in (target, args, kwargs)))
            if len(self._foretold) > _REMEMBERED:
                self._foretold.popitem(last=False)
        self._foretold.move_to_end(key)
        return self._foretold[key]

    def _execute(self, name: str, target, args, kwargs) -> object:
        function = self._find(name) if target is None else getattr(target, name)
        try:
            return function(*args, **kwargs)
        except (NotImplementedError, RuntimeError) as error:
            if isinstance(error, NotImplementedError) or "meta" in str(error):
                raise NotPermitted(
                    "value",
                    f"{name} would need a private value itself, as a size, a place or a condition: its failure, or the "
                    "shape of its result, would tell the value",
                ) from None
            raise

    def stand_in(self, name: str, target: object, args: tuple, kwargs: dict) -> object:
        """What an operation that was foretold, and has failed, might have returned: nothing of it tells why it failed.

        Zeros, on which gradients depend as they should; for PySyft's chains, what comes of ones.
        """
        inputs = (target, args, kwargs)
        if any(hasattr(each, "child") for each in (target, *args)):
            return self._execute(name, *map(_ones, inputs))
        return _zeros(self.foretell(name, target, args, kwargs), inputs)


def _zeros(foretold: object, inputs: object) -> object:
    if isinstance(foretold, torch.Tensor):
        zeros = torch.zeros(foretold.shape, dtype=foretold.dtype)
        if foretold.requires_grad:
            for leaf in leaves(inputs):
                if leaf.requires_grad:
                    zeros = zeros + (leaf * 0).sum().to(zeros.dtype)
        return zeros
    if isinstance(foretold, (tuple, list)):
        return tuple(_zeros(each, inputs) for each in foretold)
    return foretold


def _ones(value: object) -> object:
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(_ones(each) for each in value)
    if isinstance(value, dict):
        return {key: _ones(each) for key, each in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    ones = value.copy()  # type: ignore[attr-defined]
    for leaf in leaves(ones):
        leaf.fill_(1)
    return ones


def _hollow(value: object) -> object:
    """The same without elements: at the end of PySyft's chains, a tensor is as large as what it stands for."""
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(_hollow(each) for each in value)
    if isinstance(value, dict):
        return {_hollow(key): _hollow(each) for key, each in value.items()}
    if isinstance(value, slice):
        return slice(*(_hollow(each) for each in (value.start, value.stop, value.step)))
    for leaf in leaves(value):
        hollow = torch.empty(leaf.shape, dtype=leaf.dtype, device="meta")
        if leaf.requires_grad:
            hollow.requires_grad_()
        return hollow if leaf.is_leaf else hollow.view_as(hollow) + 0
    return value


def _key(value: object) -> object:
    """What tells apart arguments that an operation may treat differently, whatever their elements."""
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, (list, tuple)):
        return type(value), *map(_key, value)
    if isinstance(value, dict):
        return dict, *((_key(key), _key(each)) for key, each in value.items())
    if isinstance(value, slice):
        return slice, _key(value.start), _key(value.stop), _key(value.step)
    return tuple((tuple(leaf.shape), leaf.dtype, leaf.requires_grad, leaf.is_leaf) for leaf in leaves(value))
