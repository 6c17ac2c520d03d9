"""Attacks on one name or one language with pointers: what can be computed, changed, or read off on the way.

Each is made under both policies. Under strict there are no pointers, and the attack ends at the door.
"""

import pytest
import torch

from pisyft.transport.frames import Request
from tests.attacks.attacker import There, Written, code_of, fresh_id, text

# Copies


@pytest.mark.parametrize(
    "shake_off",
    [
        lambda a, x: x,
        lambda a, x: a.op("clone", x),
        lambda a, x: a.op("detach", x),
        lambda a, x: a.op("copy", x),
        lambda a, x: There(x.id, a.worker, "data"),
        lambda a, x: a.op("contiguous", a.op("t", a.op("view", x, 10, -1))),
        lambda a, x: a.op("view", a.op("unsqueeze", x, 0), -1),
        lambda a, x: a.op("__getitem__", x, slice(0, 1)),
        lambda a, x: a.op("expand", a.op("__getitem__", x, slice(0, 1)), 3),
        lambda a, x: a.op("repeat", x, 2),
        lambda a, x: a.op("float", x),
        lambda a, x: a.op("mul", x, 0),
        lambda a, x: a.op("torch.zeros_like", None, x),
        lambda a, x: a.op("torch.stack", None, [x, x]),
        lambda a, x: a.op("torch.where", None, a.op("eq", x, 1), a.put(torch.ones(140)), a.put(torch.zeros(140))),
        lambda a, x: a.op("masked_fill", a.put(torch.zeros(140)), a.op("eq", x, 1), 1.0),
        lambda a, x: a.op("index_select", a.put(torch.arange(20)), 0, x),
        lambda a, x: a.op("gather", a.put(torch.arange(20)), 0, x),
        lambda a, x: a.op("__getitem__", a.put(torch.arange(20)), x),
        lambda a, x: a.op("torch.nn.functional.embedding", None, x, a.put(torch.eye(20))),
        lambda a, x: a.op("argsort", x),
        lambda a, x: a.op("cumsum", x, 0),
        lambda a, x: a.op("eq", x, 2),
        lambda a, x: a.op("fix_precision", a.op("float", x)),
        lambda a, x: a.op("float_precision", a.op("fix_precision", a.op("float", x))),
        lambda a, x: a.op("max", x),
        lambda a, x: a.op("clamp", a.put(torch.zeros(140).long()), x),
        lambda a, x: a.op("torch.sub", None, a.put(torch.zeros(9)), a.put(torch.ones(9)), alpha=a.op("max", x)),
    ],
)
def test_a_copy_under_another_label(anybody, shake_off):
    """Wants the languages of all names, computed into something that carries no label.

    Labels belong to memory, what has none is private, and results join their inputs' labels.
    """
    with anybody.refuses():
        copied = shake_off(anybody, anybody.names.languages)
        anybody.fetch(anybody.op("clone", copied) if copied.attribute else copied)


@pytest.mark.parametrize("attribute", ["data", "grad.data"])
def test_the_memory_behind_an_attribute(mallory, attribute):
    """Wants the names' memory, or what a gradient of it was computed to."""
    weight = mallory.put(torch.zeros(57, 4, requires_grad=True))
    product = mallory.op("matmul", mallory.op("__getitem__", mallory.names.letters, -1), weight)
    mallory.op("backward", mallory.op("sum", product))
    private = mallory.names.mask if attribute == "data" else weight
    with mallory.refuses("stay there"):
        mallory.fetch(mallory.op("clone", There(private.id, "alice", attribute)))


@pytest.mark.parametrize(
    "attribute", ["owner.object_store", "grad_fn", "_base", "T", "__class__", "child", "data.data"]
)
def test_other_attributes_of_a_tensor(anybody, attribute):
    """Wants what hangs on a tensor: its owner, its graph, its class. A list says what may be pointed to."""
    with anybody.reads_nothing_of():
        anybody.op("clone", There(anybody.names.letters.id, anybody.worker, attribute))


# In place


def test_names_added_to_a_public_tensor(anybody):
    """Wants a public tensor to hold the languages. What is changed in place has the label of all that went in."""
    with anybody.refuses("stay there"):
        public = anybody.put(torch.zeros(140).long())
        view = anybody.op("__getitem__", public, slice(0, 2))
        anybody.op("add_", public, anybody.names.languages)
        anybody.fetch(view)


def test_names_added_to_many_tensors_of_which_the_last_does_not_fit(mallory):
    """Wants the first tensor to be changed before the operation fails, and to be labelled afterwards as if it had not.

    Whatever an operation may change is labelled before.
    """
    fits, other = mallory.put(torch.zeros(140).long()), mallory.put(torch.ones(1, requires_grad=True))
    mallory.op("mul", other, 2)
    with pytest.raises(RuntimeError):
        mallory.op("torch.add_each_", None, [fits, fits], [mallory.names.languages, mallory.put(torch.ones(3))], 1)
    leaked = mallory.fetch(fits)
    assert torch.equal(leaked, torch.zeros(140).long()), "foretold to fail, so that nothing was done"


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("torch.nn.functional.embedding", (None, 0.1), {}),
        ("torch.nn.functional.embedding", (), {"max_norm": 0.1}),
    ],
)
def test_rows_of_a_public_table_renormalised(mallory, name, args, kwargs):
    """Wants to see which rows of a public table were looked up: an embedding with `max_norm` changes them in place."""
    table = mallory.put(torch.ones(10, 4))
    with mallory.refuses("does not execute 'torch.nn.functional.embedding' with"):
        mallory.op(name, None, mallory.names.languages, table, *args, **kwargs)
    assert torch.equal(mallory.fetch(table), torch.ones(10, 4))


@pytest.mark.parametrize(
    "overwrite",
    [
        lambda a, own: a.op("torch.add", None, a.put(torch.zeros(140).long()), 7, out=own),
        lambda a, own: a.op("torch.nn.functional.dropout", None, own, 1.0, True, True),
        lambda a, own: a.op("torch.nn.functional.relu", None, own, inplace=True),
        lambda a, own: a.op("zero_", a.op("view", own, -1)),
        lambda a, own: a.op("mul_", There(own.id, a.worker, "data"), 0),
        lambda a, own: a.op("torch.zero_each_", None, [own]),
        lambda a, own: a.op("requires_grad_", own),
        lambda a, own: a.op("torch.add", None, a.put(torch.zeros(140).long()), 7, ids=(own.id,)),
        lambda a, own: a.put(torch.zeros(140).long(), id=own.id),
    ],
)
def test_names_replaced_by_known_ones(whoever, overwrite):
    """Wants numbers that it knows where the names are, so that a training says nothing new and a label is loosened.

    A worker's own tensors are neither changed nor replaced, in whichever way it is written.
    """
    with whoever.refuses():
        overwrite(whoever, whoever.names.languages)
    if whoever.worker == "alice":
        with whoever.refuses("stay there"):
            whoever.fetch(whoever.names.languages)


def test_names_deleted_and_made_again(mallory):
    """Wants the names' ids to be free, to put tensors of its own there. They are never deleted."""
    own = mallory.names.languages
    mallory.delete(own.id)
    mallory.exchange(Request(next(mallory.numbers), True, (own.id,), (), b""))
    with mallory.refuses("cannot be replaced"):
        mallory.put(torch.zeros(140).long(), id=own.id)
    assert mallory.names.languages.id == own.id


# Gradients


def test_the_gradient_that_travels_along_with_a_public_tensor(mallory):
    """Wants the gradient of its own weights, which are public; PySyft sends a tensor with its gradient."""
    weight = mallory.put(torch.zeros(57, 4, requires_grad=True))
    product = mallory.op("matmul", mallory.op("__getitem__", mallory.names.letters, -1), weight)
    mallory.op("backward", mallory.op("sum", product))
    assert mallory.fetch(weight).grad is None


def test_a_gradient_of_a_backward_that_fails_half_way(mallory):
    """Wants a gradient to be there that nobody has labelled: the second half of the graph is gone already."""
    weight, spent = (mallory.put(torch.ones(57, 4, requires_grad=True)) for _ in range(2))
    half = mallory.op("sum", mallory.op("mul", spent, spent))
    mallory.op("backward", half)
    product = mallory.op("matmul", mallory.op("__getitem__", mallory.names.letters, -1), weight)
    with pytest.raises(RuntimeError, match="backward failed on private data"):
        mallory.op("backward", mallory.op("add", mallory.op("sum", product), half))
    mallory.op("backward", mallory.op("sum", mallory.op("mul", weight, 1)))
    with mallory.refuses("stay there"):
        mallory.fetch(mallory.op("mul", There(weight.id, "alice", "grad"), 1))


def test_a_gradient_passed_on_to_another_worker(anybody):
    """Wants alice to send a gradient to bob, as PySyft does for tensors that were sent with requires_grad=True."""
    with anybody.refuses("sends no gradients on"):
        anybody.put(torch.ones(3, requires_grad=True), origin=text("bob"), id_at_origin=7)


def test_a_gradient_with_a_graph_of_its_own(mallory):
    """Wants the gradient of a gradient, which `create_graph` makes a graph for."""
    weight = mallory.put(torch.ones(57, 4, requires_grad=True))
    product = mallory.op("matmul", mallory.op("__getitem__", mallory.names.letters, -1), weight)
    mallory.op("backward", mallory.op("sum", mallory.op("mul", product, product)), create_graph=True)
    gradient = There(weight.id, "alice", "grad")
    mallory.op("backward", mallory.op("sum", mallory.op("mul", gradient, gradient)))
    with mallory.refuses("stay there"):
        mallory.fetch(mallory.op("clone", gradient))


# Objects in places of others


def test_names_as_the_description_of_a_public_tensor(anybody):
    """Wants to fetch its own tensor, described by alice's languages. Descriptions and tags are texts."""
    with anybody.reads_nothing_of():
        described = anybody.put(torch.zeros(3), description=anybody.names.languages.written)
        anybody.fetch(described)


def test_names_as_a_tag_of_a_public_tensor(anybody):
    """Wants to search for its own tensor, tagged with alice's languages."""
    with anybody.reads_nothing_of():
        anybody.put(torch.zeros(3), tags=(code_of(set), (anybody.names.languages.written,)))


def test_names_as_the_elements_of_a_new_tensor(anybody):
    """Wants a tensor made of a list, as one of PySyft's serializers does it; the list is a pointer."""
    with anybody.reads_nothing_of():
        size, dtype = (code_of(tuple), (140,)), text("int64")
        elements = (code_of(tuple), (size, dtype, anybody.names.languages.written))
        anybody.fetch(anybody.put(torch.zeros(1), serializer=text("all"), bytes=elements))


def test_names_as_the_gradient_of_a_public_tensor(anybody):
    """Wants a tensor to arrive with names for its gradient."""
    with anybody.reads_nothing_of():
        anybody.put(torch.zeros(140), grad=anybody.names.languages.written)


def test_names_wrapped_and_sent_back(anybody):
    """Wants names to arrive as if they came from the coordinator. Only plain tensors arrive."""
    with anybody.reads_nothing_of():
        anybody.put(torch.zeros(0), chain=anybody.names.languages.written)


def test_names_as_a_size_that_is_a_plain_number(anybody):
    """Wants a size made of a private number, which would be a plain number from then on."""
    with anybody.reads_nothing_of():
        size = Written((code_of(torch.Size), (anybody.language.written,)))
        anybody.fetch(anybody.op("expand", anybody.put(torch.ones(1)), size))


def test_memory_that_was_freed_and_is_used_again(mallory):
    """Wants private results to land in memory that was public a moment ago. A label goes with its memory."""
    for _ in range(50):
        public = mallory.put(torch.zeros(140).long())
        mallory.delete(public.id)
        copied = mallory.op("clone", mallory.names.languages)
        with mallory.refuses("stay there"):
            mallory.fetch(copied)
        mallory.delete(copied.id)


# Sends


@pytest.mark.parametrize("name", ["send", "move", "get", "remote_get", "mid_get"])
def test_names_sent_to_another_worker(anybody, name):
    """Wants alice to send bob her names. Only shares of them travel between workers."""
    with anybody.refuses():
        anybody.op(name, anybody.names.languages, Written(text("bob")))


def test_shares_in_a_field_of_ones_own(mallory):
    """Wants shares that are not random: in a field of two numbers, one share is the secret or next to it."""
    secret = mallory.op("fix_precision", mallory.op("float", mallory.names.languages))
    with mallory.refuses("does not execute 'share' with"):
        mallory.op("share", secret, field=2)


# What a Pi is asked for while it goes on


def test_somebody_elses_object_under_the_id_of_names(whoever):
    """Wants an id that is new and old at once: a list of ids with the names' own among them."""
    with whoever.refuses():
        own = whoever.names.languages
        whoever.op("split", whoever.put(torch.arange(4)), 2, ids=(fresh_id(), own.id))
