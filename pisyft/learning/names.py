"""Surnames: reading them from a folder, spelling them in the tutorial's letters, dealing them out. Needs no PyTorch."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pisyft.learning.alphabet import TUTORIAL, NamesError

# What the tutorial's letters make of names.
LETTERS = TUTORIAL.letters
normalise = TUTORIAL.normalise
has_letters = TUTORIAL.has_letters

NamesByLanguage = dict[str, list[str]]


def read_folder(folder: str | Path) -> NamesByLanguage:
    """Read the names of every `Language.txt` in a folder: one surname a line, UTF-8.

    Returns:
        The different names of each language, as they are spelled and in the order of the file; the languages in
        alphabetical order. Two names that differ in the tutorial's letters only by their accents are one.

    Raises:
        NamesError: there is no such folder, nothing in it, or a file in it cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NamesError(f"there is no folder {folder}: give one with a file Language.txt for each language")
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise NamesError(f"the folder {folder} holds no names: it needs a file Language.txt for each language")
    return {file.stem: _read_file(file) for file in files}


def _read_file(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise NamesError(f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8, one surname a line") from error
    except OSError as error:
        raise NamesError(f"{file} cannot be read: {error.strerror}") from error
    names: dict[str, str] = {}  # in order, without repeats
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not has_letters(line):
            raise NamesError(
                f"{file}, line {number}: no letter of {line.strip()!r} is known; write it in Latin letters"
            )
        names.setdefault(normalise(line), unicodedata.normalize("NFC", line.strip()))
    if not names:
        raise NamesError(f"{file} holds no names: write one surname a line, or remove the file")
    return list(names.values())


def total(names: Mapping[str, Sequence[str]]) -> int:
    """How many names there are, over all languages."""
    return sum(map(len, names.values()))


def hold_out(names: NamesByLanguage, fraction: float = 0.2, seed: int = 0) -> tuple[NamesByLanguage, NamesByLanguage]:
    """Split each language's names into a part to train on and a part to evaluate on.

    Args:
        fraction: how much of each language to hold out, rounded to whole names, at least one where there are two.
        seed: the same seed holds out the same names.

    Returns:
        Names to train on, names held out.
    """
    train: NamesByLanguage = {}
    held_out: NamesByLanguage = {}
    for language, of_language in names.items():
        shuffled = sorted(of_language)
        random.Random(f"{seed} {language}").shuffle(shuffled)
        count = max(round(fraction * len(shuffled)), 1) if len(shuffled) > 1 else 0
        held_out[language], train[language] = shuffled[:count], shuffled[count:]
    return train, held_out


def deal(names: NamesByLanguage, hands: int, seed: int = 0) -> list[NamesByLanguage]:
    """Deal each language's names out to so many workers, each name to one of them.

    Raises:
        NamesError: a language has fewer names than there are workers.
    """
    dealt: list[NamesByLanguage] = [{} for _ in range(hands)]
    for language, of_language in names.items():
        if len(of_language) < hands:
            raise NamesError(f"{language} has {len(of_language)} names, too few for {hands} workers")
        shuffled = sorted(of_language)
        random.Random(f"{seed} {language}").shuffle(shuffled)
        for hand, worker_names in enumerate(dealt):
            worker_names[language] = sorted(shuffled[hand::hands])
    return dealt


def write_folder(names: Mapping[str, Iterable[str]], folder: str | Path) -> None:
    """Write one `Language.txt` for each language, as `read_folder` reads them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for language, of_language in names.items():
        (folder / f"{language}.txt").write_text("".join(f"{name}\n" for name in of_language), encoding="utf-8")
