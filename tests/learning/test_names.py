"""Surnames: spelling, reading, holding out, dealing."""

import contextlib
import string
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.files import write_whole
from pisyft.learning.alphabet import TUTORIAL, UNICODE
from pisyft.learning.names import (
    NamesError,
    Parts,
    WatchedFolder,
    add_name,
    deal,
    deal_parts,
    dirichlet_shares,
    equal_shares,
    in_several_languages,
    keep_parts,
    read_folder,
    read_parts,
    shares_by_language,
    shares_from_table,
    split,
    total,
    with_added,
    workers_of_table,
    write_folder,
    write_parts,
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
def test_a_language_may_have_no_names_where_another_has(tmp_path, text):
    write(tmp_path, Korean="Kim\n", Irish=text)

    assert read_folder(tmp_path) == {"Irish": [], "Korean": ["Kim"]}


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_a_folder_whose_files_hold_nothing_is_named(tmp_path, text):
    write(tmp_path, Korean=text, Irish=text)

    with pytest.raises(NamesError, match=f"{tmp_path} holds no names"):
        read_folder(tmp_path)


def test_a_line_too_long_for_a_surname_is_named(tmp_path):
    write(tmp_path, Irish=f"Daly\n{'Walsh ' * 20}\n")

    with pytest.raises(NamesError, match=rf"{tmp_path}/Irish\.txt, line 2 is longer than 100 letters"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["王", "-.-", "Иванов"])
def test_a_name_without_a_known_letter_is_named_with_its_line(tmp_path, name):
    write(tmp_path, Chinese=f"Wang\n\n{name}\n")

    with pytest.raises(NamesError, match=rf"{tmp_path}/Chinese\.txt, line 3: no letter of '{name}' is known"):
        read_folder(tmp_path)


def test_the_total_is_over_all_languages():
    assert total({"Korean": ["Kim", "Lee"], "Irish": ["Daly"], "Greek": []}) == 3


def test_names_differ_by_the_letters_of_the_alphabet(tmp_path):
    write(tmp_path, German="Müller\nMuller\nMUELLER\n", Greek="Papadopoulos\n")

    assert read_folder(tmp_path, TUTORIAL)["German"] == ["Müller", "MUELLER"]
    assert read_folder(tmp_path, UNICODE)["German"] == ["Müller", "Muller", "MUELLER"]


def test_greek_and_cyrillic_names_are_read_with_the_unicode_alphabet(tmp_path):
    write(tmp_path, Greek="Παπαδόπουλος\n", Russian="Иванов\n")

    assert read_folder(tmp_path, UNICODE) == {"Greek": ["Παπαδόπουλος"], "Russian": ["Иванов"]}


def test_a_name_of_two_languages_stays_in_both_and_is_counted():
    names = {"Chinese": ["Lee", "Lee", "Wang"], "Korean": ["Lee", "Kim"], "Vietnamese": ["Lê", "Kim"]}

    assert in_several_languages(names) == 2  # Lee, Kim
    assert in_several_languages({**names, "English": ["Le"]}) == 3  # Lê, in the tutorial's letters
    assert in_several_languages({**names, "English": ["Le"]}, UNICODE) == 2


@given(names=NAMES, seed=SEEDS)
def test_splitting_puts_every_name_in_one_of_three_parts(names, seed):
    parts = split(names, seed)

    assert parts.languages == list(names)
    assert {language: sorted(of_language) for language, of_language in parts.together.items()} == {
        language: sorted(of_language) for language, of_language in names.items()
    }


@given(names=NAMES, seed=SEEDS)
def test_the_same_seed_splits_the_same_names_in_whatever_order_they_come(names, seed):
    reversed_names = {language: of_language[::-1] for language, of_language in names.items()}

    assert split(names, seed) == split(reversed_names, seed)


def test_another_seed_splits_otherwise():
    names = {"Letters": list(string.ascii_letters)}

    assert split(names, 1) != split(names, 2)


@pytest.mark.parametrize(
    ("count", "train", "validation", "test"),
    [(0, 0, 0, 0), (1, 1, 0, 0), (2, 1, 0, 1), (3, 2, 0, 1), (4, 2, 1, 1), (10, 7, 1, 2), (50, 35, 5, 10)],
)
def test_seven_of_ten_are_to_train_on_one_to_choose_by_and_two_to_test_on(count, train, validation, test):
    parts = split({"Letters": list(string.ascii_letters[:count])})

    assert [len(names["Letters"]) for _, names in parts.items()] == [train, validation, test]


def test_the_corpus_has_17_993_names_without_repeats_and_splits_70_10_20(corpus):
    names = read_folder(corpus)

    parts = split(names)

    assert total(names) == 17_993
    assert len(names["Arabic"]) == 108
    for _, of_part in parts.items():
        assert all(of_part.values())
    assert [total(of_part) / total(names) for _, of_part in parts.items()] == pytest.approx([0.7, 0.1, 0.2], abs=0.001)


def test_a_folder_in_three_parts_is_read_as_it_was_written(tmp_path):
    parts = Parts(train={"A": ["Ab", "Ac"], "B": []}, validation={"A": [], "B": ["Bo"]}, test={"A": ["Ae"], "B": []})

    write_parts(parts, tmp_path / "names")

    assert read_parts(tmp_path / "names") == parts
    assert read_folder(tmp_path / "names") == {"A": ["Ab", "Ac", "Ae"], "B": ["Bo"]}


def test_a_folder_that_says_nothing_of_parts_is_split_by_the_seed(tmp_path):
    names = {"Letters": sorted(string.ascii_letters)}
    write_folder(names, tmp_path)

    assert read_parts(tmp_path, seed=3) == split(names, 3)


def test_names_added_to_a_folder_whose_parts_are_kept_are_trained_on_and_hold_nothing_else_out(tmp_path):
    write_folder({"Letters": sorted(string.ascii_letters)}, tmp_path)
    before = read_parts(tmp_path, seed=3)
    keep_parts(tmp_path, before)

    with (tmp_path / "Letters.txt").open("a") as file:
        file.write("Daly\nWalsh\n")
    after = read_parts(tmp_path, seed=4)

    assert (after.validation, after.test) == (before.validation, before.test)
    assert set(after.train["Letters"]) - set(before.train["Letters"]) == {"Daly", "Walsh"}


@pytest.mark.parametrize("files", range(5))
def test_what_is_held_out_is_the_same_after_a_power_cut_while_it_was_written_down(tmp_path, monkeypatch, files):
    """Two files of validation, and two of test: the power goes after so many."""
    write_folder({"Capitals": list(string.ascii_uppercase), "Letters": list(string.ascii_lowercase)}, tmp_path)
    before, written = read_parts(tmp_path, seed=3), []

    def write_until_the_power_goes(target, content):
        if len(written) == files:
            raise KeyboardInterrupt
        written.append(target)
        write_whole(target, content)

    with monkeypatch.context() as patch:
        patch.setattr("pisyft.learning.names.write_whole", write_until_the_power_goes)
        with contextlib.suppress(KeyboardInterrupt):
            keep_parts(tmp_path, before)
    assert read_parts(tmp_path, seed=3) == before

    keep_parts(tmp_path, before)
    assert read_parts(tmp_path, seed=4) == before
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == ["test", "validation"]


def test_names_to_choose_by_that_are_nowhere_else_stay_so_where_none_are_to_test_on(tmp_path):
    write_folder({"Irish": ["Daly", "Walsh"]}, tmp_path)
    write_folder({"Irish": ["Quinn"]}, tmp_path / "validation")

    assert read_parts(tmp_path) == Parts({"Irish": ["Daly", "Walsh"]}, {"Irish": ["Quinn"]}, {"Irish": []})


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_name_that_its_owner_holds_out_while_the_worker_runs_is_not_trained_on(tmp_path, part):
    write_parts(Parts({"Irish": ["Daly", "Quinn"]}, {"Irish": ["Byrne"]}, {"Irish": ["Walsh"]}), tmp_path)
    folder, before = WatchedFolder(tmp_path), read_parts(tmp_path)

    with (tmp_path / part / "Irish.txt").open("a") as file:
        file.write("Quinn\nMurphy\n")
    after = with_added(before, folder.read_if_changed())

    assert after == Parts({"Irish": ["Daly"]}, before.validation, before.test)


def test_names_that_are_added_are_trained_on_and_what_is_held_out_stays():
    parts = Parts({"Irish": ["Daly"]}, {"Irish": ["Walsh"]}, {"Irish": ["Byrne"]})

    found = Parts({"Irish": ["Byrne", "Daly", "Wàlsh", "Quinn"]}, {"Irish": []}, {"Irish": []})
    after = with_added(parts, found)

    assert after == Parts({"Irish": ["Daly", "Quinn"]}, {"Irish": ["Walsh"]}, {"Irish": ["Byrne"]})


def test_a_folder_is_read_again_when_it_has_changed(tmp_path):
    write_parts(Parts({"Irish": ["Daly"]}, {"Irish": []}, {"Irish": ["Walsh"]}), tmp_path)
    folder = WatchedFolder(tmp_path)

    assert folder.read_if_changed() is None
    add_name("Quinn", "Irish", tmp_path)
    assert folder.read_if_changed() == Parts({"Irish": ["Daly", "Quinn"]}, {"Irish": []}, {"Irish": ["Walsh"]})
    assert folder.read_if_changed() is None
    (tmp_path / "train" / "Irish.txt").write_bytes(b"\xff")
    with pytest.raises(NamesError, match="is not UTF-8"):
        folder.read_if_changed()


def test_a_name_that_is_held_out_is_not_trained_on_whoever_writes_it_there(tmp_path):
    write_parts(Parts({"Irish": ["Daly", "Walsh"]}, {"Irish": ["Walsh"]}, {"Irish": ["Dàly", "Walsh"]}), tmp_path)

    assert read_parts(tmp_path) == Parts({"Irish": []}, {"Irish": []}, {"Irish": ["Dàly", "Walsh"]})


def test_an_added_name_is_trained_on(tmp_path):
    parts = Parts({"Igbo": ["Eze"], "Irish": ["Daly"]}, {"Igbo": [], "Irish": []}, {"Igbo": ["Obi"], "Irish": []})
    write_parts(parts, tmp_path)

    file = add_name(" Okonkwo ", "Igbo", tmp_path)

    assert file == tmp_path / "train" / "Igbo.txt"
    assert read_parts(tmp_path).train == {"Igbo": ["Eze", "Okonkwo"], "Irish": ["Daly"]}
    assert list(tmp_path.rglob("*.*")) == list(tmp_path.rglob("*.txt"))  # nothing half written is left


@pytest.mark.parametrize("content", ["Eze\nObi", "Eze\nObi\n", "\ufeffEze\r\nObi\r\n"])
def test_a_name_is_added_on_a_line_of_its_own_whatever_an_editor_left(tmp_path, content):
    write(tmp_path, Igbo=content)

    add_name("Ọkọ\u0301nkwọ", "Igbo", tmp_path, UNICODE)

    assert read_folder(tmp_path, UNICODE) == {"Igbo": ["Eze", "Obi", unicodedata.normalize("NFC", "Ọkọ\u0301nkwọ")]}


@pytest.mark.parametrize(
    ("name", "language", "message"),
    [
        ("Obi", "Igbo", "Igbo has Obi already: nothing to do"),
        ("Òbi", "Igbo", "Igbo has Òbi already, spelled Obi, which is the same"),
        ("Daly", "Irish", "has no language 'Irish', but Greek, Igbo.*agree with the others"),
        ("王", "Igbo", "no letter of '王' is known"),
        ("", "Igbo", "no letter of '' is known"),
        ("O" * 101, "Igbo", "longer than 100 letters"),
    ],
)
def test_a_name_that_cannot_be_added_is_refused_and_changes_nothing(tmp_path, name, language, message):
    write_parts(Parts({"Igbo": ["Eze"], "Greek": ["Dimas"]}, {"Igbo": []}, {"Igbo": ["Obi"]}), tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.txt")}

    with pytest.raises(NamesError, match=message):
        add_name(name, language, tmp_path)

    assert {file: file.read_bytes() for file in tmp_path.rglob("*.txt")} == before


def test_a_new_language_is_made_when_asked_for_and_never_outside_the_folder(tmp_path):
    write_folder({"Irish": ["Daly"]}, tmp_path / "names")

    add_name("Okonkwo", "Igbo", tmp_path / "names", new_language=True)
    with pytest.raises(NamesError, match="no name of a language"):
        add_name("Okonkwo", "../Igbo", tmp_path / "names", new_language=True)

    assert read_folder(tmp_path / "names") == {"Igbo": ["Okonkwo"], "Irish": ["Daly"]}
    assert [path.name for path in tmp_path.iterdir()] == ["names"]


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(sum)


@given(names=NAMES, shares=SHARES, seed=SEEDS)
def test_dealing_gives_every_name_to_one_worker_by_the_shares(names, shares, seed):
    dealt = deal(names, dict.fromkeys(names, shares), seed)

    assert [list(hand) for hand in dealt] == [list(names)] * len(shares)
    for language, of_language in names.items():
        assert Counter(name for hand in dealt for name in hand[language]) == Counter(of_language)
        for hand, share in zip(dealt, shares, strict=True):
            assert abs(len(hand[language]) - share / sum(shares) * len(of_language)) < 1.001


@given(names=NAMES, hands=st.integers(1, 4), seed=SEEDS)
def test_dealing_in_equal_shares_is_fair(names, hands, seed):
    dealt = deal(names, equal_shares(names, hands), seed)

    for language in names:
        sizes = [len(hand[language]) for hand in dealt]
        assert max(sizes) - min(sizes) <= 1


def test_what_is_left_over_goes_to_different_workers():
    names = {f"Language {letter}": ["Ab", "Ac", "Ad"] for letter in string.ascii_letters}

    totals = [total(hand) for hand in deal(names, equal_shares(names, 10))]

    assert min(totals) > 5  # of 156 names, 15.6 each; without a shift, seven workers would have none


@given(names=NAMES, shares=SHARES, seed=SEEDS)
def test_the_same_seed_deals_the_same_names_in_whatever_order_they_come(names, shares, seed):
    reversed_names = {language: of_language[::-1] for language, of_language in names.items()}

    assert deal(names, dict.fromkeys(names, shares), seed) == deal(reversed_names, dict.fromkeys(names, shares), seed)


def test_another_seed_deals_other_hands():
    names = {"Letters": list(string.ascii_letters)}

    assert deal(names, equal_shares(names, 2), seed=1) != deal(names, equal_shares(names, 2), seed=2)


def test_names_are_split_before_they_are_dealt_so_that_no_worker_trains_on_what_another_tests():
    names = {"Letters": list(string.ascii_letters)}
    parts = split(names)

    alice, bob = deal_parts(parts, equal_shares(names, 2))

    assert sorted(alice.train["Letters"] + bob.train["Letters"]) == parts.train["Letters"]
    assert sorted(alice.validation["Letters"] + bob.validation["Letters"]) == parts.validation["Letters"]
    assert sorted(alice.test["Letters"] + bob.test["Letters"]) == parts.test["Letters"]


def test_by_language_two_workers_have_nine_each(all_names):
    names = read_folder(all_names)
    parts = split(names)

    hands = deal_parts(parts, shares_by_language(list(names), 2, seed=1))

    for _, *of_hands in zip(parts.items(), *(hand.items() for hand in hands), strict=True):
        assert [sum(map(bool, of_hand.values())) for _, of_hand in of_hands] == [9, 9]
    alices = [language for language, of_language in hands[0].train.items() if of_language]
    assert alices == [language for language, of_language in hands[0].test.items() if of_language]
    assert shares_by_language(list(names), 2, seed=1) == shares_by_language(list(names), 2, seed=1)
    assert shares_by_language(list(names), 2, seed=1) != shares_by_language(list(names), 2, seed=2)


def test_more_workers_than_languages_cannot_have_whole_languages():
    with pytest.raises(NamesError, match="2 languages are too few for 3 workers"):
        shares_by_language(["Greek", "Irish"], 3)


def test_dirichlet_shares_are_less_alike_the_smaller_alpha():
    languages = [f"Language {letter}" for letter in string.ascii_letters]

    def largest(alpha: float) -> float:
        shares = dirichlet_shares(languages, 10, alpha, seed=1)
        return sum(max(each) / sum(each) for each in shares.values()) / len(shares)

    assert 0.1 < largest(1000) < 0.12 < largest(5) < largest(0.5) < largest(0.01)
    assert largest(1e-9) == pytest.approx(1)
    assert dirichlet_shares(languages, 3, 0.5, seed=1) == dirichlet_shares(languages, 3, 0.5, seed=1)
    assert dirichlet_shares(languages, 3, 0.5, seed=1) != dirichlet_shares(languages, 3, 0.5, seed=2)


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_an_alpha_that_is_no_number_above_zero_is_refused(alpha):
    with pytest.raises(NamesError, match="alpha is .* above zero"):
        dirichlet_shares(["Greek"], 2, alpha)


def test_a_table_says_who_gets_how_much(tmp_path):
    table = tmp_path / "shares.csv"
    table.write_text("language, worker, share\nGreek, bob, 3\nGreek, alice, 1\nIrish, bob, 0.5\n")

    assert workers_of_table(table) == ["bob", "alice"]
    assert shares_from_table(table, ["Greek", "Irish"], ["alice", "bob"]) == {"Greek": [1, 3], "Irish": [0, 0.5]}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "must begin with the line: language,worker,share"),
        ("Greek,alice,1\n", "must begin with the line: language,worker,share"),
        ("language,worker,share\nGreek,alice,1\nKlingon,alice,1\n", "line 3: there are no names.*'Klingon'"),
        ("language,worker,share\nGreek,carol,1\n", "line 2: there is no worker 'carol'"),
        ("language,worker,share\nGreek,alice,much\n", "line 2: 'much' is no share"),
        ("language,worker,share\nGreek,alice,-1\n", "line 2: '-1' is no share"),
        ("language,worker,share\nGreek,alice,inf\n", "line 2: 'inf' is no share"),
        ("language,worker,share\nGreek,alice\n", "line 2: None is no share"),
        ("language,worker,share\nGreek,alice,1\n", "gives Irish to no worker"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(tmp_path, lines, message):
    table = tmp_path / "shares.csv"
    table.write_text(lines)

    with pytest.raises(NamesError, match=rf"{table}.*{message}"):
        shares_from_table(table, ["Greek", "Irish"], ["alice", "bob"])


def test_a_table_that_is_not_there_or_no_text_is_named(tmp_path):
    (tmp_path / "shares.csv").write_bytes(b"language,worker,share\nGreek,al\xefce,1\n")

    with pytest.raises(NamesError, match=r"shares\.csv is not UTF-8"):
        shares_from_table(tmp_path / "shares.csv", ["Greek"], ["alice"])
    with pytest.raises(NamesError, match=r"nowhere\.csv cannot be read: No such file"):
        workers_of_table(tmp_path / "nowhere.csv")


def test_what_is_written_is_read_again(tmp_path):
    names = {"Czech": ["Dvořák", "Čapek"], "Dutch": ["'t Hart"]}

    write_folder(names, tmp_path / "some" / "folder")

    assert read_folder(tmp_path / "some" / "folder") == names
    assert (tmp_path / "some" / "folder" / "Czech.txt").read_bytes() == "Dvořák\nČapek\n".encode()
