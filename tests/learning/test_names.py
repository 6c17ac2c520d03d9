"""Surnames: spelling, reading, holding out, dealing."""

import string
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.learning.names import (
    LETTERS,
    NamesError,
    deal,
    has_letters,
    hold_out,
    normalise,
    read_folder,
    total,
    write_folder,
)

# Names of some languages, no two alike within one.
NAMES = st.dictionaries(
    st.sampled_from(["Czech", "Greek", "Irish"]),
    st.lists(st.text(string.ascii_letters, min_size=1, max_size=6), min_size=1, max_size=30, unique=True),
    min_size=1,
)
SEEDS = st.integers(0, 5)


def write(folder: Path, **files: str) -> Path:
    for language, text in files.items():
        (folder / f"{language}.txt").write_bytes(text.encode("utf-8"))
    return folder


def test_the_alphabet_is_the_tutorials_of_57_letters():
    assert LETTERS == "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;'"


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
    assert normalise(name) == normalised


@given(st.text())
def test_normalised_names_have_known_letters_only_and_stay_as_they_are(name):
    once = normalise(name)

    assert set(once) <= set(LETTERS)
    assert normalise(once).strip() == once.strip()


@pytest.mark.parametrize(("name", "has"), [("Abe", True), ("é", True), ("王", False), ("'. ,;-", False), ("", False)])
def test_a_name_has_letters_when_more_than_signs_is_left_of_it(name, has):
    assert has_letters(name) is has


def test_names_are_read_as_they_are_spelled_in_the_order_of_the_file(tmp_path):
    write(tmp_path, Polish="Wójcik\nBąk\n", Czech="Dvořák\nČapek\n")

    names = read_folder(tmp_path)

    assert names == {"Czech": ["Dvořák", "Čapek"], "Polish": ["Wójcik", "Bąk"]}
    assert list(names) == ["Czech", "Polish"]  # and the languages in alphabetical order


def test_repeats_are_read_once_also_where_only_the_accents_differ(tmp_path):
    write(tmp_path, Vietnamese="Trần\nLê\nTran\nLê\nTrán\n")

    assert read_folder(tmp_path) == {"Vietnamese": ["Trần", "Lê"]}


def test_upper_and_lower_case_are_different_names(tmp_path):
    write(tmp_path, Dutch="de Vries\nDe Vries\n")

    assert read_folder(tmp_path) == {"Dutch": ["de Vries", "De Vries"]}


def test_accents_as_characters_of_their_own_are_read_composed(tmp_path):
    write(tmp_path, Czech="Dvor\u030ca\u0301k\n")

    assert read_folder(tmp_path) == {"Czech": ["Dvořák"]}


@pytest.mark.parametrize(
    "text",
    [
        "Abe\n\n  \nSato\n\n",  # blank lines
        "\ufeffAbe\nSato\n",  # a byte order mark, as Windows' editor writes it
        "Abe\r\nSato\r\n",  # Windows' line ends
        "Abe\nSato",  # no line end after the last
        " Abe \n\tSato\n",  # spaces around
    ],
)
def test_what_editors_leave_in_a_file_is_no_part_of_the_names(tmp_path, text):
    write(tmp_path, Japanese=text)

    assert read_folder(tmp_path) == {"Japanese": ["Abe", "Sato"]}


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    write(tmp_path, Korean="Kim\n")
    (tmp_path / "README.md").write_bytes(b"\xff not a list of names")

    assert read_folder(tmp_path) == {"Korean": ["Kim"]}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NamesError, match=rf"no folder {tmp_path}/nowhere.*Language\.txt"):
        read_folder(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    file = write(tmp_path, Korean="Kim\n") / "Korean.txt"

    with pytest.raises(NamesError, match=str(file)):
        read_folder(file)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(NamesError, match=rf"{tmp_path} holds no names.*Language\.txt"):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", ["Müller\nBäcker\n".encode("latin-1"), "Müller\n".encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_named(tmp_path, content):
    (tmp_path / "German.txt").write_bytes(content)

    with pytest.raises(NamesError, match=rf"{tmp_path}/German\.txt is not UTF-8.*save it as UTF-8"):
        read_folder(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "German.txt").mkdir()

    with pytest.raises(NamesError, match=rf"{tmp_path}/German\.txt cannot be read: Is a directory"):
        read_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_a_language_without_names_is_named(tmp_path, text):
    write(tmp_path, Korean="Kim\n", Irish=text)

    with pytest.raises(NamesError, match=rf"{tmp_path}/Irish\.txt holds no names.*remove the file"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["王", "-.-", "Иванов"])
def test_a_name_without_a_known_letter_is_named_with_its_line(tmp_path, name):
    write(tmp_path, Chinese=f"Wang\n\n{name}\n")

    with pytest.raises(NamesError, match=rf"{tmp_path}/Chinese\.txt, line 3: no letter of '{name}' is known"):
        read_folder(tmp_path)


def test_the_total_is_over_all_languages():
    assert total({"Korean": ["Kim", "Lee"], "Irish": ["Daly"], "Greek": []}) == 3


@given(names=NAMES, fraction=st.floats(0, 1), seed=SEEDS)
def test_holding_out_puts_every_name_in_one_of_two_parts(names, fraction, seed):
    train, held_out = hold_out(names, fraction, seed)

    assert list(train) == list(held_out) == list(names)
    for language, of_language in names.items():
        assert sorted(train[language] + held_out[language]) == sorted(of_language)


@given(names=NAMES, seed=SEEDS)
def test_the_same_seed_holds_out_the_same_names_in_whatever_order_they_come(names, seed):
    reversed_names = {language: of_language[::-1] for language, of_language in names.items()}

    assert hold_out(names, seed=seed) == hold_out(reversed_names, seed=seed)


def test_another_seed_holds_out_other_names():
    names = {"Letters": list(string.ascii_letters)}

    assert hold_out(names, seed=1)[1] != hold_out(names, seed=2)[1]


@pytest.mark.parametrize(("count", "held_out_of"), [(1, 0), (2, 1), (3, 1), (10, 2), (13, 3), (50, 10)])
def test_a_fifth_of_each_language_is_held_out_and_at_least_one_of_two(count, held_out_of):
    train, held_out = hold_out({"Letters": list(string.ascii_letters[:count])})

    assert len(held_out["Letters"]) == held_out_of
    assert len(train["Letters"]) == count - held_out_of


@given(names=NAMES, hands=st.integers(1, 4), seed=SEEDS)
def test_dealing_gives_every_name_to_one_worker(names, hands, seed):
    enough = {language: of_language for language, of_language in names.items() if len(of_language) >= hands}

    dealt = deal(enough, hands, seed)

    assert len(dealt) == hands
    for language, of_language in enough.items():
        assert Counter(name for hand in dealt for name in hand[language]) == Counter(of_language)


@given(names=NAMES, hands=st.integers(1, 4), seed=SEEDS)
def test_dealing_is_fair(names, hands, seed):
    enough = {language: of_language for language, of_language in names.items() if len(of_language) >= hands}

    for language in enough:
        sizes = [len(hand[language]) for hand in deal(enough, hands, seed)]
        assert max(sizes) - min(sizes) <= 1


@given(names=NAMES, hands=st.integers(1, 4), seed=SEEDS)
def test_the_same_seed_deals_the_same_names_in_whatever_order_they_come(names, hands, seed):
    enough = {language: of_language for language, of_language in names.items() if len(of_language) >= hands}
    reversed_names = {language: of_language[::-1] for language, of_language in enough.items()}

    assert deal(enough, hands, seed) == deal(reversed_names, hands, seed)


def test_another_seed_deals_other_hands():
    names = {"Letters": list(string.ascii_letters)}

    assert deal(names, 2, seed=1) != deal(names, 2, seed=2)


def test_no_worker_trains_on_a_name_that_another_one_holds_out():
    for_alice, for_bob = (hold_out(hand) for hand in deal({"Letters": list(string.ascii_letters)}, 2))

    assert not set(for_alice[0]["Letters"]) & set(for_bob[1]["Letters"])
    assert not set(for_bob[0]["Letters"]) & set(for_alice[1]["Letters"])


def test_a_language_with_fewer_names_than_workers_cannot_be_dealt():
    with pytest.raises(NamesError, match="Irish has 2 names, too few for 3 workers"):
        deal({"Korean": ["Kim", "Lee", "Park"], "Irish": ["Daly", "Walsh"]}, 3)


def test_what_is_written_is_read_again(tmp_path):
    names = {"Czech": ["Dvořák", "Čapek"], "Dutch": ["'t Hart"]}

    write_folder(names, tmp_path / "some" / "folder")

    assert read_folder(tmp_path / "some" / "folder") == names
    assert (tmp_path / "some" / "folder" / "Czech.txt").read_bytes() == "Dvořák\nČapek\n".encode()
