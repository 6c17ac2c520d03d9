"""Names as tensors."""

import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pisyft.learning.alphabet import TUTORIAL, UNICODE
from pisyft.learning.encoding import Encoded, encode, mask, one_hot
from pisyft.learning.names import NamesError, normalise

NAMES = st.dictionaries(
    st.sampled_from(["Czech", "Greek", "Irish"]),
    st.lists(st.text(string.ascii_letters, min_size=1, max_size=8), min_size=1, max_size=6),
    min_size=1,
)


def spelled(letters: torch.Tensor, column: int) -> str:
    """The name that a column of letters' numbers spells, a dot for each step without a letter."""
    return "".join(("." + TUTORIAL.letters)[number] for number in letters[:, column])


def test_shapes_and_types():
    encoded = encode({"Korean": ["Kim", "Lee"], "Greek": ["Kokkinos"]})

    assert encoded.letters.shape == (8, 3) and encoded.letters.dtype == torch.int64
    assert encoded.languages.shape == (3,) and encoded.languages.dtype == torch.int64


def test_names_are_aligned_at_their_last_letter():
    encoded = encode({"Korean": ["Kim", "Sung"], "Chinese": ["Au"]})

    assert [spelled(encoded.letters, column) for column in range(3)] == [".Kim", "Sung", "..Au"]


def test_the_mask_tells_where_a_name_has_letters():
    there = mask(encode({"Korean": ["Kim"], "Chinese": ["Au"]}).letters)

    assert there.dtype == torch.float32
    assert there[:, 0, 0].tolist() == [1, 1, 1]
    assert there[:, 1, 0].tolist() == [0, 1, 1]


def test_one_hot_letters_have_a_one_at_their_place_in_the_alphabet_and_padding_has_none():
    vectors = one_hot(torch.tensor([[0, 1], [3, 2]]), 3)

    assert vectors.dtype == torch.float32
    assert vectors.tolist() == [[[0, 0, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 0]]]


def test_chosen_names_keep_no_padding_that_they_do_not_need():
    encoded = encode({"Korean": ["Kim", "Sung"], "Chinese": ["Au"]})

    chosen = encoded.choose(torch.tensor([2, 0]))

    assert [spelled(chosen.letters, column) for column in range(2)] == [".Au", "Kim"]
    assert chosen.languages.tolist() == [1, 0]
    assert len(chosen) == 2


def test_an_alphabet_says_how_names_are_spelled():
    encoded = encode({"Czech": ["Dvořák"]}, UNICODE)

    assert encoded.letters[:, 0].tolist() == UNICODE.encode("Dvořák")
    assert not torch.equal(encoded.letters, encode({"Czech": ["Dvorak"]}, UNICODE).letters)


def test_languages_are_numbered_in_the_order_they_are_given():
    encoded = encode({"Korean": ["Kim"], "Chinese": ["Au", "Bo"], "Empty": [], "Greek": ["Kos"]})

    assert encoded.languages.tolist() == [0, 1, 1, 3]


def test_names_are_normalised():
    assert spelled(encode({"Czech": ["Dvořák"]}).letters, 0) == "Dvorak"


@given(names=NAMES, seed=st.none() | st.integers(0, 5))
def test_every_name_is_there_once_under_its_language_one_letter_a_step(names, seed):
    encoded: Encoded = encode(names, seed=seed)

    columns = [
        (spelled(encoded.letters, column).lstrip("."), language) for column, language in enumerate(encoded.languages)
    ]
    assert sorted(columns) == sorted(
        (normalise(name), language) for language, of_language in enumerate(names.values()) for name in of_language
    )


def test_a_seed_shuffles_and_the_same_seed_shuffles_alike():
    names = {"Letters": list(string.ascii_lowercase)}

    first, again, other, unshuffled = (
        [spelled(encode(names, seed=seed).letters, column) for column in range(26)] for seed in (1, 1, 2, None)
    )

    assert first == again != other
    assert unshuffled == names["Letters"]
    assert sorted(first) == unshuffled


@pytest.mark.parametrize("names", [{}, {"Korean": []}])
def test_no_names_at_all_are_refused(names):
    with pytest.raises(NamesError, match="no names to encode"):
        encode(names)


@pytest.mark.parametrize("name", ["王", "-.-", ""])
def test_a_name_without_a_known_letter_is_refused(name):
    with pytest.raises(NamesError, match=f"no letter of '{name}' is known"):
        encode({"Chinese": ["Wang", name]})
