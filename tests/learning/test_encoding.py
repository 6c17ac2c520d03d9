"""Names as tensors."""

import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pisyft.learning.encoding import encode
from pisyft.learning.names import LETTERS, NamesError, normalise

NAMES = st.dictionaries(
    st.sampled_from(["Czech", "Greek", "Irish"]),
    st.lists(st.text(string.ascii_letters, min_size=1, max_size=8), min_size=1, max_size=6),
    min_size=1,
)


def spelled(letters: torch.Tensor, column: int) -> str:
    """The name that a column of one-hot letters spells, a dot for each step without a letter."""
    return "".join(LETTERS[row.argmax()] if row.any() else "." for row in letters[:, column])


def test_shapes_and_types():
    encoded = encode({"Korean": ["Kim", "Lee"], "Greek": ["Kokkinos"]})

    assert encoded.letters.shape == (8, 3, 57) and encoded.letters.dtype == torch.float32
    assert encoded.mask.shape == (8, 3, 1) and encoded.mask.dtype == torch.float32
    assert encoded.languages.shape == (3,) and encoded.languages.dtype == torch.int64


def test_names_are_aligned_at_their_last_letter():
    encoded = encode({"Korean": ["Kim", "Sung"], "Chinese": ["Au"]})

    assert [spelled(encoded.letters, column) for column in range(3)] == [".Kim", "Sung", "..Au"]


def test_the_mask_tells_where_a_name_has_letters():
    encoded = encode({"Korean": ["Kim"], "Chinese": ["Au"]})

    assert encoded.mask[:, 0, 0].tolist() == [1, 1, 1]
    assert encoded.mask[:, 1, 0].tolist() == [0, 1, 1]


def test_languages_are_numbered_in_the_order_they_are_given():
    encoded = encode({"Korean": ["Kim"], "Chinese": ["Au", "Bo"], "Empty": [], "Greek": ["Kos"]})

    assert encoded.languages.tolist() == [0, 1, 1, 3]


def test_names_are_normalised():
    assert spelled(encode({"Czech": ["Dvořák"]}).letters, 0) == "Dvorak"


@given(names=NAMES, seed=st.none() | st.integers(0, 5))
def test_every_name_is_there_once_under_its_language_one_letter_a_step(names, seed):
    encoded = encode(names, seed)

    columns = [
        (spelled(encoded.letters, column).lstrip("."), language) for column, language in enumerate(encoded.languages)
    ]
    assert sorted(columns) == sorted(
        (normalise(name), language) for language, of_language in enumerate(names.values()) for name in of_language
    )
    assert torch.equal(encoded.letters.sum(2, keepdim=True), encoded.mask)


def test_a_seed_shuffles_and_the_same_seed_shuffles_alike():
    names = {"Letters": list(string.ascii_lowercase)}

    first, again, other, unshuffled = (
        [spelled(encode(names, seed).letters, column) for column in range(26)] for seed in (1, 1, 2, None)
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
