"""Operations in few bytes: read as they were meant, on the worker that holds the tensors, and on no other terms."""

import pytest
import syft
import torch
from hypothesis import given
from hypothesis import strategies as st
from syft.messaging.message import ObjectRequestMessage, TensorCommandMessage

from pisyft.transport.operation import Operation


@pytest.fixture(scope="module")
def there(hook):
    worker = syft.VirtualWorker(hook, id="operated-on")
    yield worker
    worker.clear_objects()
    worker.remove_worker_from_local_worker_registry()


def command(target, *arguments, **keywords) -> TensorCommandMessage:
    return TensorCommandMessage.computation("view", target, arguments, keywords, (1, 2))


def read(message, worker):
    """The action of a message, as the worker at the other end of the wire reads it."""
    data = syft.serde.serialize(Operation(message, worker), worker=syft.local_worker)
    return syft.serde.deserialize(data, worker=worker).action


plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    plain | st.builds(slice, plain, plain, plain) | st.just(...),
    lambda each: st.lists(each) | st.lists(each).map(tuple),
    max_leaves=8,
)


@given(arguments=st.lists(values), keywords=st.dictionaries(st.text(), values, max_size=3))
def test_arguments_are_read_as_they_were(there, arguments, keywords):
    action = read(TensorCommandMessage.computation("view", None, tuple(arguments), keywords, (1, 2)), there)

    assert (action.name, action.return_ids, action.return_value) == ("view", (1, 2), False)
    assert action.args == tuple(arguments)
    assert action.kwargs == keywords
    assert repr(action.args) == repr(tuple(arguments)), "True is not 1, and a list is no tuple"


def test_pointers_are_read_as_the_tensors_they_point_to(there):
    x = torch.tensor([1.0], requires_grad=True).send(there)
    (x * 2).backward()
    held = there.get_obj(x.child.id_at_location)

    action = read(command(x.child, [x.child], gradient=x.grad.child, data=x.data.child), there)

    assert action.target is held
    assert action.args == ([held],)
    assert action.kwargs["gradient"] is held.grad
    assert action.kwargs["data"].data_ptr() == held.data_ptr()


def test_a_gradient_that_is_not_there_is_none(there):
    x = torch.tensor([1.0]).send(there)
    assert read(command(x.child, x.child.attr("grad").child), there).args == (None,)


@pytest.mark.parametrize(
    "make",
    [
        lambda x, here: command(x, torch.ones(1)),
        lambda x, here: command(x, torch.ones(1).send(here).child),
        lambda x, here: command(x, here),
        lambda x, here: command(x, x.attr("child").child),
        lambda x, here: command(x, torch.float64),
        lambda x, here: TensorCommandMessage.communication("remote_send", x, (here.id,), {}, (1,)),
        lambda x, here: ObjectRequestMessage(1, None, ""),
    ],
    ids=["tensor", "pointer to another worker", "worker", "attribute", "dtype", "communication", "other message"],
)
def test_what_says_more_is_left_to_pysyft(there, hook, make):
    x = torch.tensor([1.0]).send(there)
    here = syft.VirtualWorker(hook, id="elsewhere")
    try:
        with pytest.raises(TypeError):
            Operation(make(x.child, here), there)
    finally:
        here.remove_worker_from_local_worker_registry()


def test_other_attributes_of_a_tensor_are_not_read(there):
    x = torch.tensor([1.0]).send(there)
    _, id_ = Operation(command(x.child), there)._written[1]

    with pytest.raises(ValueError, match="'owner.object_store' is no tensor that hangs on a tensor"):
        Operation.detail(there, ("view", (5, id_, "owner.object_store"), (), {}, (1,), False))
