"""Labels: how they join, and how long they last."""

import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pisyft.privacy.labels import PRIVATE, PUBLIC, LabelBook, Share, join, join_sum, leaves

labels = st.just(PUBLIC) | st.just(PRIVATE) | st.builds(Share, st.frozensets(st.sampled_from("abc"), min_size=1))


def share(*contributors: str) -> Share:
    return Share(frozenset(contributors))


@given(st.lists(labels))
def test_what_is_computed_is_public_only_if_all_it_was_computed_from_is(inputs):
    assert (join(inputs) == PUBLIC) == all(label == PUBLIC for label in inputs)


@given(labels, labels)
def test_no_sum_is_freer_than_its_terms(left, right):
    label = join_sum(left, right)
    if label == PUBLIC:
        assert left == right == PUBLIC
    if isinstance(label, Share):
        assert isinstance(left, Share)
        assert isinstance(right, Share)
        assert label.contributors == left.contributors | right.contributors


def test_shares_of_different_secrets_add_up_to_a_share():
    assert join_sum(share("a"), share("b", "c")) == share("a", "b", "c")


@pytest.mark.parametrize("other", [share("a"), share("a", "b"), PUBLIC, PRIVATE])
def test_a_sum_with_one_secret_in_it_twice_or_with_a_known_number_is_private(other):
    assert join_sum(share("a"), other) == PRIVATE
    assert join_sum(other, share("a")) == PRIVATE


def test_what_is_not_in_the_book_is_private():
    assert LabelBook()[torch.ones(3)] == PRIVATE


def test_a_view_has_the_label_of_what_it_is_a_view_of():
    book, tensor = LabelBook(), torch.ones(4)
    view = tensor[1:3]
    book[tensor] = PUBLIC
    assert book[view] == PUBLIC
    book[view] = PRIVATE
    assert book[tensor] == PRIVATE


def test_memory_that_is_used_again_does_not_inherit_a_label():
    book = LabelBook()
    for _ in range(50):
        tensor = torch.ones(1000)
        assert book[tensor] == PRIVATE
        book[tensor] = PUBLIC
        del tensor
    gc.collect()
    assert not book._labels
    assert not book._tensors


def test_labelling_a_tensor_again_and_again_costs_nothing_that_lasts():
    book, tensor = LabelBook(), torch.ones(4)
    for _ in range(100):
        book[tensor] = PRIVATE
    assert list(book._tensors.values()) == [1]


def test_the_leaves_of_a_value_are_the_tensors_with_elements(hook):
    plain = torch.ones(2)
    fixed = torch.ones(2).fix_precision()
    assert [leaf is plain for leaf in leaves([(plain, 3), {"a": "text"}])] == [True]
    assert [leaf.dtype for leaf in leaves(fixed)] == [torch.int64]
    assert list(leaves(plain.send(hook.local_worker))) == []
