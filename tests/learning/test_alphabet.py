"""Letters: the tutorial's, and those of names as people write them."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.learning.alphabet import TUTORIAL, UNICODE, NamesError, alphabet_by_name

BOTH = pytest.mark.parametrize("alphabet", [TUTORIAL, UNICODE], ids=lambda alphabet: alphabet.name)


def test_the_tutorials_alphabet_has_its_57_letters_in_its_order():
    assert TUTORIAL.letters == "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;'"
    assert TUTORIAL.size == 57


@BOTH
def test_every_symbol_is_there_once_and_composed(alphabet):
    assert len(set(alphabet.letters)) == alphabet.size
    assert all(unicodedata.normalize("NFC", letter) == letter for letter in alphabet.letters)


def test_letters_of_the_unicode_alphabet_come_in_both_cases():
    without_their_like = {"ß", "ı", "İ", "ĸ", "ΐ", "ΰ", "ς"}  # in Unicode, or as a single letter of this list

    for letter in set(UNICODE.letters) - without_their_like:
        assert letter.upper() in UNICODE.letters, letter
        assert letter.lower() in UNICODE.letters, letter


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("Ślusàrski", "Slusarski"),  # the tutorial's own example
        ("Dvořák", "Dvorak"),
        ("O'Néàl", "O'Neal"),
        ("Nguyễn", "Nguyen"),
        ("Dvor\u030ca\u0301k", "Dvorak"),  # accents as characters of their own
        ("Au-Yeung", "AuYeung"),  # no hyphen among the 57
        ("Łukasiewicz", "ukasiewicz"),  # Ł is no L with an accent, to Unicode and to the tutorial
        ("de la Cruz", "de la Cruz"),
        ("  Abe\t", "Abe"),
    ],
)
def test_a_name_is_normalised_as_in_the_tutorial(name, normalised):
    assert TUTORIAL.normalise(name) == normalised


@pytest.mark.parametrize(
    "name",
    [
        "Müller",
        "Muller",
        "Łukasiewicz",
        "Nguyễn",
        "Au-Yeung",
        "Παπαδόπουλος",
        "Іваненко",
        "Ђорђевић",
        "Ọ́yẹ́lọ́wọ̀",
        "Þórsson",
    ],
)
def test_the_unicode_alphabet_keeps_names_as_they_are_written(name):
    composed = unicodedata.normalize("NFC", name)

    assert UNICODE.normalise(name) == UNICODE.normalise(unicodedata.normalize("NFD", name)) == composed


@pytest.mark.parametrize(("name", "other"), [("Müller", "Muller"), ("de Vries", "De Vries"), ("Ηλίας", "Ηλιας")])
def test_accents_and_case_make_a_difference_in_the_unicode_alphabet(name, other):
    assert UNICODE.encode(name) != UNICODE.encode(other)


@pytest.mark.parametrize("written", ["O’Neal", "O'Neal", "Oʼ\u004eeal"])
def test_apostrophes_are_one_however_a_keyboard_writes_them(written):
    assert UNICODE.normalise(written) == "O'Neal"


def test_spaces_are_one_however_wide():
    assert UNICODE.normalise(" de\u00a0la \t Cruz ") == "de la Cruz"


def test_a_letter_outside_the_agreed_list_is_the_unknown_symbol():
    assert UNICODE.normalise("Kim김") == "Kim\ufffd"
    assert UNICODE.encode("Kim김")[-1] == UNICODE.encode("Kim王")[-1] == UNICODE.size


@BOTH
@given(name=st.text())
def test_normalised_names_have_known_letters_only_and_stay_as_they_are(alphabet, name):
    once = alphabet.normalise(name)

    assert set(once) <= set(alphabet.letters)
    assert alphabet.normalise(once).strip() == once.strip()


@BOTH
@given(name=st.text())
def test_a_name_is_numbers_from_1_to_size_or_refused(alphabet, name):
    if not alphabet.has_letters(name):
        with pytest.raises(NamesError, match="no letter of"):
            alphabet.encode(name)
        return

    numbers = alphabet.encode(name)

    assert "".join(alphabet.letters[number - 1] for number in numbers) == alphabet.normalise(name)
    assert all(1 <= number <= alphabet.size for number in numbers)


@pytest.mark.parametrize(("name", "has"), [("Abe", True), ("é", True), ("王", False), ("'. ,;-", False), ("", False)])
def test_a_name_has_letters_when_more_than_signs_is_left_of_it(name, has):
    assert TUTORIAL.has_letters(name) is UNICODE.has_letters(name) is has


@pytest.mark.parametrize(
    ("alphabet", "name", "scripts"),
    [(TUTORIAL, "Иванов", "Latin letters"), (UNICODE, "王", "Latin, Greek or Cyrillic letters")],
)
def test_a_name_without_a_known_letter_is_refused_with_what_to_do(alphabet, name, scripts):
    with pytest.raises(NamesError, match=f"no letter of '{name}' is known: write it in {scripts}"):
        alphabet.encode(name)


def test_digests_agree_on_what_spells_alike_and_on_nothing_else():
    assert replace(UNICODE).digest() == UNICODE.digest() != TUTORIAL.digest()
    assert replace(TUTORIAL, letters=TUTORIAL.letters + "-").digest() != TUTORIAL.digest()
    assert replace(TUTORIAL, accents=True).digest() != TUTORIAL.digest()


def test_an_alphabet_is_found_by_its_name():
    assert alphabet_by_name("tutorial") is TUTORIAL
    assert alphabet_by_name("unicode") is UNICODE


def test_an_unknown_alphabet_is_named_with_those_that_there_are():
    with pytest.raises(NamesError, match="no alphabet 'klingon': choose one of tutorial, unicode"):
        alphabet_by_name("klingon")
