"""Attacks that read an answer off everything but values: texts of errors, failures, shapes, counts, searches, sizes."""

import pytest
import torch
from syft.exceptions import GetNotPermittedError, ObjectNotFoundError
from syft.messaging.message import ObjectRequestMessage, SearchMessage

from pisyft.transport.errors import ProtocolError
from tests.attacks.attacker import Attacker, There, Written, code_of, listed, text

QUOTED = ("tensor(", "0, 1", "/", "Traceback", ".py", "0x", "object at")


def assert_tells_nothing(error: BaseException) -> None:
    """No values, no paths, no traceback in the text of an error."""
    assert not any(each in str(error) for each in QUOTED), str(error)[:300]


# Texts


@pytest.mark.parametrize(
    "ask",
    [
        lambda a, x: a.fetch(x.written),
        lambda a, x: a.shape(x.written),
        lambda a, x: a.is_none(x.written),
        lambda a, x: a.delete(x.written),
        lambda a, x: a.search(x),
        lambda a, x: a.op(x, x),
        lambda a, x: a.op("clone", x, ids=(x.written,)),
        lambda a, x: a.op("clone", x, memory_format=x),
        lambda a, x: a.op("share", x, x),
        lambda a, x: a.op("clone", There(x.id, x)),
        lambda a, x: a.op("clone", There(x, a.worker)),
        lambda a, x: a.ask((code_of(ObjectRequestMessage), (7, x.written, text("")))),
        lambda a, x: a.ask((code_of(dict), ((x.written, 1),))),
        lambda a, x: a.ask(x.written),
        lambda a, x: a.ask(listed(x.written, x.written)),
    ],
)
def test_names_in_the_place_of_an_id_a_name_or_a_worker(anybody, ask):
    """Wants names in the text of "not found" and its like: a pointer stands where an id does.

    PySyft reads a pointer as the object; here it stands where a tensor may, and nowhere else.
    """
    with pytest.raises((ProtocolError, GetNotPermittedError, ObjectNotFoundError, TypeError, AttributeError)) as caught:
        ask(anybody, anybody.names.languages)
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("name", ["tolist", "item", "__str__", "__repr__", "__len__", "__bool__", "__int__", "numpy"])
def test_names_as_text_or_numbers(anybody, name):
    """Wants values that are no tensors. Whatever returns Python's own values is no operation."""
    with anybody.refuses():
        anybody.op(name, anybody.names.languages)


def test_an_error_with_a_path(anybody):
    """Wants to know where PiSyft lies on the Pi, and as whom it runs."""
    for message in (b"", b"\x00", b"(", b"(\xc1", b")abc", b"*abc", b"(\x93\x01\x02\x03", b"(\x92\xcd\xff\xff\x90"):
        with pytest.raises(Exception) as caught:
            anybody.ask_bytes(message or b"\x00")
        assert_tells_nothing(caught.value)


def test_the_reason_why_somebody_elses_object_is_not_there(mallory, lab, connections):
    """Wants the error of another coordinator's operation on names, which is kept for whoever uses its result."""
    other = connections(lab, "alice")
    spoilt = There(4711, "alice")
    with pytest.raises(GetNotPermittedError):
        other.op("__getitem__", other.names.languages, other.language, ids=(spoilt.id,))
    with pytest.raises((GetNotPermittedError, ObjectNotFoundError)) as caught:
        mallory.op("neg", spoilt)
    assert "tensor(" not in str(caught.value)


# Failures


def outcomes(attempt, attacker: Attacker, values) -> set:
    """What an operation comes to for each of some values that are compared with a name's: one, if it tells nothing."""
    seen = set()
    for value in values:
        try:
            attempt(attacker, value)
            seen.add("done")
        except Exception as error:
            seen.add(f"{type(error).__name__}: {str(error)[:40]}")
    return seen


@pytest.mark.parametrize(
    "attempt",
    [
        lambda a, n: a.op("__getitem__", a.put(torch.zeros(n)), a.language),
        lambda a, n: a.op("index_select", a.put(torch.zeros(n)), 0, a.names.languages),
        lambda a, n: a.op("gather", a.put(torch.zeros(n)), 0, a.names.languages),
        lambda a, n: a.op("torch.nn.functional.nll_loss", None, a.put(torch.zeros(140, n)), a.names.languages),
        lambda a, n: a.op("torch.nn.functional.cross_entropy", None, a.put(torch.zeros(140, n)), a.names.languages),
        lambda a, n: a.op("torch.nn.functional.embedding", None, a.names.languages, a.put(torch.zeros(n, 2))),
        lambda a, n: a.op("narrow", a.put(torch.zeros(n)), 0, a.language, 1),
        lambda a, n: a.op("select", a.put(torch.zeros(n)), 0, a.language),
        lambda a, n: a.op("__floordiv__", a.put(torch.ones(1).long()), a.op("sub", a.language, n - 1)),
        lambda a, n: a.op("remainder", a.put(torch.ones(1).long()), a.op("sub", a.language, n - 1)),
        lambda a, n: a.op("pow", a.put(torch.full((1,), 2)), a.op("sub", a.language, n)),
        lambda a, n: a.op("fix_precision", a.op("mul", a.op("float", a.language), 10.0 ** (20 * n))),
        lambda a, n: a.op("topk", a.put(torch.zeros(n)), a.language),
        lambda a, n: a.op("unsqueeze", a.put(torch.zeros(1)), a.op("add", a.language, n)),
        lambda a, n: a.op("sum", a.put(torch.zeros((1,) * n)), a.language),
    ],
)
def test_whether_an_operation_fails(mallory, attempt):
    """Wants one language by failures: an index that is out of bounds tells the index.

    Operations are foretold on tensors without elements. What would need a value itself is refused whatever the value
    is, and what fails on the names alone looks as if it had not.
    """
    assert len(outcomes(attempt, mallory, range(1, 6))) == 1


def test_whether_a_gradient_is_there_after_a_loss_that_failed(mallory):
    """Wants to see from its own weights whether a loss on names has failed unheard."""
    seen = set()
    for outputs in (1, 4):
        weight = mallory.put(torch.zeros(140, outputs, requires_grad=True))
        loss = mallory.op("torch.nn.functional.cross_entropy", None, weight, mallory.names.languages)
        seen.add((tuple(mallory.shape(loss)), mallory.is_none(loss)))
        mallory.op("backward", loss)
        gradient = mallory.op("mul", There(weight.id, "alice", "grad"), 1)
        assert mallory.shape(gradient) == [140, outputs]
    assert len(seen) == 1


def test_whether_a_product_fits_into_fixed_precision(mallory):
    """Wants the size of a private number: PySyft says which products do not fit."""

    def attempt(attacker: Attacker, digits: int) -> None:
        private = attacker.op(
            "fix_precision", attacker.op("mul", attacker.op("float", attacker.names.languages), digits)
        )
        known = attacker.op("fix_precision", attacker.put(torch.full((140,), 10.0**digits)))
        product = attacker.op("mul", private, known)
        attacker.op("float_precision", product)

    assert len(outcomes(attempt, mallory, range(1, 14, 3))) == 1


# Shapes and counts


@pytest.mark.parametrize(
    "compute",
    [
        lambda a: a.op("__getitem__", a.names.languages, a.op("eq", a.names.languages, 2)),
        lambda a: a.op("expand", a.put(torch.ones(1)), a.language),
        lambda a: a.op("repeat", a.put(torch.ones(1)), a.language),
        lambda a: a.op("view", a.put(torch.ones(0)), a.language, 0),
        lambda a: a.op("narrow", a.put(torch.ones(9)), 0, 0, a.language),
        lambda a: a.op("__getitem__", a.put(torch.ones(9)), slice(a.language, None)),
        lambda a: a.op("split", a.put(torch.ones(12)), a.language),
        lambda a: a.op("chunk", a.put(torch.ones(12)), a.language),
        lambda a: a.op("topk", a.put(torch.ones(9)), a.language),
        lambda a: a.op("flip", a.put(torch.ones(2, 2)), a.language),
        lambda a: a.op("torch.where", None, a.names.languages),
        lambda a: a.op("__getitem__", a.put(torch.ones(140)), a.op("gt", a.names.languages, 1)),
    ],
)
def test_a_shape_that_is_a_private_number(anybody, compute):
    """Wants a result that is as long as a language's number, or as many as there are names of a language."""
    with anybody.reads_nothing_of() as caught:
        anybody.shape(compute(anybody))
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("name", ["nonzero", "unique", "masked_select", "bincount", "torch.nonzero", "torch.unique"])
def test_operations_whose_result_is_as_long_as_it_has_hits(anybody, name):
    """Wants how many names are of a language. These are no operations."""
    with anybody.refuses("does not execute"):
        target = None if name.startswith("torch.") else anybody.names.languages
        anybody.op(name, target, *([anybody.names.languages] if target is None else []))


@pytest.mark.parametrize("name", ["set_", "as_strided", "resize_", "storage", "untyped_storage", "apply_"])
def test_memory_looked_at_from_the_side(anybody, name):
    """Wants to read or replace memory under a tensor. These are no operations."""
    with anybody.refuses("does not execute"):
        anybody.op(name, anybody.put(torch.zeros(140).long()), anybody.names.languages)


# Searches


@pytest.mark.parametrize("query", [[], ["#surnames"], ["surname"], [""], ["*"], [0], ["#surnames", "' or '1'='1"]])
def test_a_search_that_is_told_more_than_what_there_is(anybody, query):
    """Wants something in pointers, tags or descriptions. They say shapes and tags."""
    with pytest.raises(GetNotPermittedError):
        found = anybody.search(*query)
        answer = anybody.ask((code_of(SearchMessage), (anybody._argument(query),)))
        assert b"\xc4\x90" not in repr(answer).encode()
        for each in found:
            with anybody.refuses():
                anybody.fetch(each)
        raise GetNotPermittedError("it told ids")


def test_tags_that_stand_in_for_names(mallory, lab, connections):
    """Wants another coordinator to find a tensor of its own where alice's names should be."""
    mallory.put(torch.zeros(140).long(), tags=(code_of(set), (text("#surnames"), text("#train"), text("#languages"))))
    found = connections(lab, "alice").search("#surnames", "#train", "#languages")
    assert len(found) == 1, "only the worker itself tags something #surnames"


def test_what_is_asked_for_by_words_of_code(anybody):
    """Wants a name or a path to be executed, imported or opened."""
    for name in (
        "__import__('os').system",
        "torch.load",
        "os.system",
        "torch.hub.load",
        "torch.classes.load_library",
        "",
    ):
        with anybody.refuses("does not execute"):
            anybody.op(name, None, Written(text("/etc/hostname")))
