"""The names that come with the project, and the corpus of the original tutorial where there is one."""

import itertools
import re
import unicodedata
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from pisyft.learning.names import read_folder

LANGUAGES = (
    "Arabic Chinese Czech Dutch English French German Greek Irish Italian Japanese Korean Polish Portuguese Russian "
    "Scottish Spanish Vietnamese"
).split()


def lines(folder: Path, language: str) -> list[str]:
    return (folder / f"{language}.txt").read_text(encoding="utf-8").splitlines()


def test_there_is_a_file_for_each_of_the_tutorials_languages(all_names):
    assert sorted(file.stem for file in all_names.glob("*.txt")) == LANGUAGES
    assert sorted(file.name for file in all_names.iterdir() if file.suffix != ".txt") == ["README.md"]


@pytest.mark.parametrize("language", LANGUAGES)
class TestEachFile:
    def test_it_has_150_different_names_or_more_in_the_tutorials_letters(self, all_names, language):
        assert len(read_folder(all_names)[language]) >= 150

    def test_it_is_utf_8_composed_without_a_byte_order_mark_and_with_unix_line_ends(self, all_names, language):
        content = (all_names / f"{language}.txt").read_bytes()

        text = content.decode("utf-8")
        assert unicodedata.is_normalized("NFC", text)
        assert "\ufeff" not in text and "\r" not in text
        assert text.endswith("\n") and not text.endswith("\n\n")

    def test_it_is_sorted_and_repeats_no_name(self, all_names, language):
        names = lines(all_names, language)

        assert names == sorted(names)
        assert len({name.casefold() for name in names}) == len(names)

    def test_a_name_is_letters_with_spaces_apostrophes_and_hyphens_between(self, all_names, language):
        odd = [name for name in lines(all_names, language) if not re.fullmatch(r"'?[^\W\d_]+([ '-]+[^\W\d_]+)*", name)]

        assert odd == []

    def test_the_readme_tells_how_many_names_there_are(self, all_names, language):
        readme = (all_names / "README.md").read_text(encoding="utf-8")

        assert f"| `{language}.txt` | {len(lines(all_names, language))} |" in readme


def test_no_file_is_a_copy_of_another(all_names):
    names = {language: set(lines(all_names, language)) for language in LANGUAGES}

    mostly_alike = [
        (one, other)
        for one, other in itertools.combinations(LANGUAGES, 2)
        if len(names[one] & names[other]) > 0.2 * min(len(names[one]), len(names[other]))
    ]
    assert mostly_alike == []


def test_languages_with_accents_are_written_with_them(all_names):
    for language in ("Czech", "French", "German", "Polish", "Portuguese", "Spanish", "Vietnamese"):
        assert not "".join(lines(all_names, language)).isascii(), language


def test_the_readme_places_the_lists_under_cc0(all_names):
    assert "CC0 1.0" in (all_names / "README.md").read_text(encoding="utf-8")


def test_the_tutorials_corpus_reads_without_error(corpus):
    names = read_folder(corpus)

    assert sorted(names) == LANGUAGES
    assert all(names.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_names_are_not_the_corpus(all_names, corpus, language):
    own, theirs = lines(all_names, language), lines(corpus, language)

    assert set(own) - set(theirs), "every name is in the corpus"
    assert set(theirs) - set(own), "every name of the corpus is here"
    longest_run = SequenceMatcher(None, own, theirs, autojunk=False).find_longest_match()
    assert longest_run.size <= 8, "a stretch of the corpus, name after name"
