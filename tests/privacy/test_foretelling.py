"""What is foretold of an operation is what comes of it."""

import pytest
import torch

from pisyft.privacy.foretelling import Foretelling, may_have_more, pieces
from pisyft.privacy.labels import leaves

MASK = torch.tensor([True, False, True])
ROWS = torch.arange(6.0).view(3, 2)


@pytest.fixture
def foretelling(hook) -> Foretelling:
    return Foretelling(lambda name: getattr(torch, name.removeprefix("torch.")))


@pytest.mark.parametrize(
    ("name", "target", "args"),
    [
        ("repeat", ROWS, (2, 4)),
        ("repeat", ROWS, ((torch.tensor(2), torch.tensor([4])),)),
        ("add", torch.ones(5, 1), (torch.ones(7),)),
        ("matmul", ROWS, (torch.ones(2, 9),)),
        ("torch.cat", None, ([ROWS, ROWS, ROWS],)),
        ("double", ROWS, ()),
        ("clone", torch.ones(1).expand(8), ()),
        ("contiguous", torch.ones(1).expand(8), ()),
        ("contiguous", ROWS, ()),
        ("expand", torch.ones(1), (8,)),
        ("view", ROWS, (-1,)),
        ("t", ROWS, ()),
        ("max", ROWS, (0,)),
        ("split", ROWS, (1,)),
        ("__getitem__", ROWS, (1,)),
        ("__getitem__", ROWS, (slice(0, 2),)),
        ("__getitem__", ROWS, ([0, 0, 2, 2, 1],)),
        ("__getitem__", ROWS, (MASK,)),
        ("__getitem__", ROWS, ((MASK, torch.zeros(4, 1).long()),)),
        ("__getitem__", ROWS, (ROWS > 2,)),
        ("__getitem__", ROWS, ((slice(None), torch.tensor([0, 1, 1])),)),
    ],
)
def test_the_size_of_a_result_and_the_memory_that_it_takes(foretelling, name, target, args):
    foretold = foretelling.foretell_public(name, target, args, {})

    results = list(leaves(getattr(torch, name[6:])(*args) if target is None else getattr(target, name)(*args)))
    there = {leaf.untyped_storage()._cdata for leaf in leaves((target, args))}
    made = {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in results}
    assert foretold is not None
    assert foretold.elements == max(each.numel() for each in results)
    assert foretold.bytes == sum(size for memory, size in made.items() if memory not in there)
    assert pieces(name, target, args, {}) in (1, len(results))


@pytest.mark.parametrize(
    ("name", "target", "args"),
    [("matmul", ROWS, (ROWS,)), ("__getitem__", ROWS, (7, 8, 9)), ("repeat", ROWS, ("x",)), ("view", ROWS, (5,))],
)
def test_of_public_values_what_fails_is_left_to_fail(foretelling, name, target, args):
    assert foretelling.foretell_public(name, target, args, {}) is None


def test_what_is_foretold_with_many_items_is_not_kept(foretelling):
    for length in range(1000, 1005):
        foretelling.foretell("__getitem__", ROWS, ([0] * length,), {})
        foretelling.foretell("unbind", torch.ones(length), (), {})
        foretelling.foretell("sum", torch.ones(length), (), {})

    assert [key[0] for key in foretelling._foretold] == ["sum"] * 5


@pytest.mark.parametrize(
    ("name", "tensors", "args", "may"),
    [
        ("add", [torch.ones(100), torch.ones(100)], (), True),
        ("add", [torch.ones(10), torch.ones(10)], (), False),
        ("torch.stack", [torch.ones(1)] * 1001, (), True),
        ("torch.cat", [torch.ones(0), torch.ones(1001)], (), True),
        ("repeat", [torch.ones(1)], (2,), True),
        ("__getitem__", [torch.ones(1)], ([0, 0],), True),
        ("__getitem__", [torch.ones(1)], ((None, [0, 0]),), True),
        ("__getitem__", [torch.ones(1000)], (slice(3),), False),
    ],
)
def test_what_is_small_whatever_comes_of_it_is_told_at_a_glance(name, tensors, args, may):
    assert may_have_more(1000, name, args, tensors) == may


@pytest.mark.parametrize(
    ("name", "target", "args", "kwargs", "most"),
    [
        ("unbind", ROWS, (), {}, 3),
        ("unbind", ROWS, (1,), {}, 2),
        ("torch.unbind", None, (ROWS,), {"dim": -1}, 2),
        ("split", ROWS, ([2, 1],), {}, 2),
        ("split", ROWS, (2,), {}, 2),
        ("torch.chunk", None, (ROWS, 100), {}, 3),
        ("torch.chunk", None, (), {"chunks": 1, "input": ROWS}, 1),
        ("split", ROWS, (torch.tensor(1),), {}, 3),
        ("split", ROWS, (0,), {}, 3),
        ("unbind", ROWS, ("x",), {}, 3),
        ("sum", ROWS, (), {}, 1),
    ],
)
def test_into_how_many_a_tensor_is_cut(name, target, args, kwargs, most):
    assert pieces(name, target, args, kwargs) == most
