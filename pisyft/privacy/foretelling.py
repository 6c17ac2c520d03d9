"""Operations on names neither fail, nor have results of a shape, that tells something of the names.

`zeros(3)[language]` fails if the language is 3 or more, `letters[languages == 2]` is as long as there are names of the
third language, and `ones(1).expand(language)` is as long as the language's number. An error or a shape is an answer. So
each operation is foretold: executed on tensors that have a shape and no elements (PyTorch's device "meta"). What fails
there fails whatever the names are, and may be told. What does not has a shape that is the same for all names; should it
fail later on the names themselves, its caller gets zeros that look like a result.

What is foretold is also how much memory a result will take: a message of some bytes can ask for more than a Pi has
(`ones(1).repeat(300_000_000)`). So operations on public values are foretold, too, where their results may be large.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import torch

from pisyft.privacy.labels import leaves
from pisyft.refusals import NotPermitted

logger = logging.getLogger(__name__)

_REMEMBERED = 4096
_MANY_ITEMS = 1000  # in what is remembered; more of them are foretold each time, and take no memory
_PLAIN = (NoneType, bool, int, float, str, bytes, torch.dtype, torch.Size, type(...))

# What copies a tensor whose elements do not lie one after the other, and returns any other one as it is, or a view.
_COPY_IF_NEEDED = frozenset({"contiguous", "reshape", "flatten", "torch.reshape", "torch.flatten"})


@dataclass(frozen=True)
class Foretold:
    """What an operation comes to.

    Attributes:
        results: tensors without elements, or whatever else it returns.
        elements: of the largest tensor.
        bytes: of memory that the results will have, beside that of the arguments.
    """

    results: object
    elements: int
    bytes: int


class Foretelling:
    """Remembers what operations come to, by their arguments' shapes, so that each is foretold once.

    Args:
        find: the function of a name like "torch.add".
    """

    def __init__(self, find: Callable[[str], Callable]) -> None:
        self._find = find
        self._foretold: OrderedDict[object, Foretold] = OrderedDict()

    def foretell(self, name: str, target: object, args: tuple, kwargs: dict) -> Foretold:
        """What an operation comes to.

        Raises:
            Exception: what it raises whatever the elements are.
            GetNotPermittedError: whether it fails, or the shape of its result, would depend on elements.
        """
        copies = name in _COPY_IF_NEEDED and not all(leaf.is_contiguous() for leaf in leaves((target, args, kwargs)))
        key = (name, copies, _key(target), _key(args), _key(kwargs))
        if key in self._foretold:
            self._foretold.move_to_end(key)
            return self._foretold[key]
        inputs = [_hollow(each) for each in (target, args, kwargs)]
        results = self._execute(name, *inputs)
        there = set() if copies else {leaf.untyped_storage()._cdata for leaf in leaves(inputs)}
        made = list(leaves(results))
        memory = {leaf.untyped_storage()._cdata: leaf.untyped_storage().nbytes() for leaf in made}
        foretold = Foretold(
            results,
            max((leaf.numel() for leaf in made), default=0),
            sum(size for each, size in memory.items() if each not in there),
        )
        if len(made) + _items(key) < _MANY_ITEMS:
            self._foretold[key] = foretold
            if len(self._foretold) > _REMEMBERED:
                self._foretold.popitem(last=False)
        return foretold

    def foretell_public(self, name: str, target: object, args: tuple, kwargs: dict) -> Foretold | None:
        """The same of an operation on public values; None if it fails, which its execution tells then."""
        try:
            if name == "repeat":
                args, kwargs = _numbers(args), _numbers(kwargs)
            elif name == "__getitem__":
                args = tuple(map(_places, args))
            return self.foretell(name, target, args, kwargs)
        except Exception as error:
            logger.debug("%s is not foretold: %s", name, type(error).__name__)
            return None

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
        return _zeros(self.foretell(name, target, args, kwargs).results, inputs)


def may_have_more(elements: int, name: str, args: tuple, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a result of an operation could have more elements than that, at a glance.

    Tensors are spread over each other, multiplied as matrices or looked up in each other, or put one after the other.
    """
    if name == "repeat" or (name == "__getitem__" and _has_list(args)):
        return True
    product, total = 1, 0
    for tensor in tensors:
        size = tensor.numel()
        product *= size or 1
        total += size
        if product > elements or total > elements:
            return True
    return False


def pieces(name: str, target: object, args: tuple, kwargs: dict) -> int:
    """Into how many tensors an operation cuts one, at most."""
    count = _PIECES.get(name)
    if count is None:
        return 1
    tensors = list(leaves((target, args, kwargs)))
    try:
        if len(tensors) == 1:  # else a number is one, and perhaps private
            return count(*([] if target is None else [target]), *args, **kwargs)
    except (TypeError, IndexError, ZeroDivisionError, AttributeError):
        pass  # written in another way, or wrong
    return max((size for tensor in tensors for size in tensor.shape), default=1)


def _unbound(input, dim=0) -> int:
    return input.shape[dim]


def _split(tensor, split_size, dim=0) -> int:
    return len(split_size) if isinstance(split_size, (list, tuple)) else -(-tensor.shape[dim] // split_size)


def _chunks(input, chunks, dim=0) -> int:
    return min(chunks, input.shape[dim])


_PIECES = {
    f"{prefix}{name}": count
    for prefix in ("", "torch.")
    for name, count in (("unbind", _unbound), ("split", _split), ("chunk", _chunks))
}


def _has_list(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, tuple) and any(map(_has_list, value)))


def _numbers(value: Any) -> Any:
    """The same, with numbers in place of tensors of one element."""
    if isinstance(value, (list, tuple)):
        return tuple(_numbers(each) for each in value)
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    return int(value) if isinstance(value, torch.Tensor) and value.numel() == 1 else value


def _places(index: Any) -> tuple:
    """An index with tensors of places, as many as there are, in place of masks."""
    placed: list = []
    several = isinstance(index, tuple) or (
        isinstance(index, list) and any(isinstance(each, torch.Tensor) for each in index)
    )
    for each in index if several else (index,):
        if isinstance(each, torch.Tensor) and each.dtype in (torch.bool, torch.uint8) and not hasattr(each, "child"):
            hits = int(each.count_nonzero())
            placed += [torch.empty(hits, dtype=torch.long, device="meta") for _ in each.shape]
        else:
            placed.append(each)
    return tuple(placed)


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


def _items(key: object) -> int:
    return 1 + sum(map(_items, key)) if isinstance(key, tuple) else 1


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
