"""Surnames: reading them from a folder, splitting them in three, dealing them out to workers. Needs no PyTorch."""

from __future__ import annotations

import csv
import math
import random
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pisyft.files import write_whole
from pisyft.learning.alphabet import TUTORIAL, Alphabet, NamesError

# What the tutorial's letters make of names.
LETTERS = TUTORIAL.letters
normalise = TUTORIAL.normalise
has_letters = TUTORIAL.has_letters

NamesByLanguage = dict[str, list[str]]
# How much of each language's names each worker gets, in the workers' order: proportions, which need not sum to 1.
Shares = dict[str, list[float]]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
VALIDATION_FRACTION, TEST_FRACTION = 0.1, 0.2
LONGEST = 100  # letters; a longer line is no surname, and every name is padded to the longest


@dataclass(frozen=True)
class Parts:
    """Names in three parts, each with all languages, of which some may be empty.

    Attributes:
        train: what a model learns from.
        validation: what choices are made on: which model, how many rounds.
        test: what is looked at once, at the end.
    """

    train: NamesByLanguage
    validation: NamesByLanguage
    test: NamesByLanguage

    def items(self) -> list[tuple[str, NamesByLanguage]]:
        """Each part with its name."""
        return [(TRAIN, self.train), (VALIDATION, self.validation), (TEST, self.test)]

    @property
    def languages(self) -> list[str]:
        return list(self.train)

    @property
    def together(self) -> NamesByLanguage:
        """All names, whatever part they are in."""
        return {each: self.train[each] + self.validation[each] + self.test[each] for each in self.languages}


def read_folder(folder: str | Path, alphabet: Alphabet = TUTORIAL) -> NamesByLanguage:
    """Read all names of a folder: of every `Language.txt`, one surname a line, UTF-8, and of those in its parts.

    Returns:
        The different names of each language, as they are spelled and in the order of the file; the languages in
        alphabetical order. Two names that the alphabet spells alike are one: "Lê" and "Le" in the tutorial's letters.

    Raises:
        NamesError: there is no such folder, nothing in it, or a file in it cannot be used.
    """
    return _without_repeats([_read_all(Path(folder), alphabet).together], alphabet)[0]


def read_parts(folder: str | Path, alphabet: Alphabet = TUTORIAL, seed: int = 0) -> Parts:
    """Read a worker's names in their three parts.

    The folders `validation` and `test`, which `pisyft data split` and `keep_parts` write, say what is held out. All
    other names are there to train on, in the folder `train` or beside it: so a name that somebody adds never changes
    what is held out, and one that is held out is never trained on. Where nothing says what is held out, the seed does;
    so it does where `keep_parts` has not come to its end.

    Raises:
        NamesError: as `read_folder`.
    """
    found = _read_all(Path(folder), alphabet)
    # `keep_parts` writes `test` last, and nothing that is not in the folder as well.
    if not total(found.test) and all(set(found.validation[each]) <= set(found.train[each]) for each in found.languages):
        return split(_without_repeats([found.train], alphabet)[0], seed)
    test, validation, train = _without_repeats([found.test, found.validation, found.train], alphabet)
    return Parts(train, validation, test)


def keep_parts(folder: str | Path, parts: Parts) -> None:
    """Write down which of a folder's names are held out, so that names that are added later do not change it.

    Each part is there whole or not at all, also when the power goes; `test` comes last.

    Raises:
        OSError: the folder cannot be written.
    """
    for part, names in ((VALIDATION, parts.validation), (TEST, parts.test)):
        target, new = Path(folder) / part, Path(folder) / f".{part}.new"
        shutil.rmtree(new, ignore_errors=True)  # of one that came to no end
        write_folder(names, new)
        for file in target.glob("*.txt"):
            file.unlink()
        new.replace(target)


def with_added(parts: Parts, found: Parts, alphabet: Alphabet = TUTORIAL) -> Parts:
    """The parts after names were added to a folder: what is held out stays, and all others are there to train on.

    Args:
        found: what is in the folder now. Of what its owner wants to be held out from now on, nothing is trained on, and
            nothing is tested on before the worker is started again. Languages that are new are left out.
    """
    both = (parts, found)
    held_out = {each: [name for of in both for name in of.validation[each] + of.test[each]] for each in parts.languages}
    _, train = _without_repeats([held_out, {each: found.train[each] for each in parts.languages}], alphabet)
    return Parts(train, parts.validation, parts.test)


class WatchedFolder:
    """A folder of names that its owner may change at any time.

    Args:
        folder: what changes in it from now on is noticed. So it is read after this is made, and not before.
        alphabet: in which names are alike.
    """

    def __init__(self, folder: str | Path, alphabet: Alphabet = TUTORIAL) -> None:
        self.path, self._alphabet = Path(folder), alphabet
        self._seen = self._state()

    def read_if_changed(self) -> Parts | None:
        """What is in it and in the folders of its parts, with repeats, if a file has changed since this was asked last.

        Raises:
            NamesError: it cannot be used any more; it was changed for the worse.
        """
        state = self._state()
        if state == self._seen:
            return None
        self._seen = state
        return _read_all(self.path, self._alphabet)

    def _state(self) -> dict[Path, tuple[int, int]]:
        files = sorted(self.path.glob("*.txt")) + sorted(self.path.glob("*/*.txt"))
        return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists()}


def keep_to_languages(folder: str | Path, languages: Sequence[str]) -> None:
    """Make an empty file for each language that was agreed on and that a worker has no names of.

    Raises:
        NamesError: the folder has a language that was not agreed on.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    for language in languages:
        _check_language(language)
    found = {file.stem for place, _ in _places(folder) for file in place.glob("*.txt")}
    if others := sorted(found - set(languages)):
        raise NamesError(
            f"{folder} has names of {', '.join(others)}, which the classroom has not agreed on: move the file away, or "
            "add the language to `languages` in classroom.toml, on all Pis"
        )
    write_folder({language: [] for language in languages if language not in found}, _added_to(folder))


def add_name(
    name: str, language: str, folder: str | Path, alphabet: Alphabet = TUTORIAL, new_language: bool = False
) -> Path:
    """Add a surname to what a worker trains on from its next round on.

    Args:
        new_language: make a language that the folder does not have. All workers of a federation need a file for it.

    Returns:
        The file that it was added to.

    Raises:
        NamesError: no letter of it is known, the folder has no such language, or the name is in it already.
    """
    folder = Path(folder)
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    alphabet.encode(name)  # does it have letters?
    if len(name) > LONGEST:
        raise NamesError(f"{name[:20]!r}... is longer than {LONGEST} letters: add one surname at a time")
    names = read_folder(folder, alphabet)
    if language not in names and not new_language:
        raise NamesError(
            f"{folder} has no language {language!r}, but {', '.join(names)}. For a new one, all workers of the "
            "federation need it: agree with the others in classroom.toml (languages), or add --new-language on each"
        )
    _check_language(language)
    spelled = alphabet.normalise(name)
    for known in names.get(language, []):
        if alphabet.normalise(known) == spelled:
            alike = "" if known == name else f", spelled {known}, which is the same in the letters that are used here"
            raise NamesError(f"{language} has {name} already{alike}: nothing to do")
    file = _added_to(folder) / f"{language}.txt"
    text = file.read_text(encoding="utf-8-sig") if file.exists() else ""
    write_whole(file, (text + ("\n" if text and not text.endswith("\n") else "") + f"{name}\n").encode())
    return file


def total(names: Mapping[str, Sequence[str]]) -> int:
    """How many names there are, over all languages."""
    return sum(map(len, names.values()))


def in_several_languages(names: Mapping[str, Sequence[str]], alphabet: Alphabet = TUTORIAL) -> int:
    """How many names occur in two languages or more. They stay in each, and no model can be right about all of them."""
    languages = Counter(
        spelled for of_language in names.values() for spelled in {alphabet.normalise(name) for name in of_language}
    )
    return sum(count > 1 for count in languages.values())


def split(names: NamesByLanguage, seed: int = 0) -> Parts:
    """Split each language's names: 70 % to train on, 10 % to choose by, 20 % to test on.

    Rounded to whole names; one is tested on where there are two, and one chosen by where there are four.

    Args:
        seed: the same seed splits the same names alike, in whatever order they come.
    """
    parts: tuple[NamesByLanguage, ...] = ({}, {}, {})
    for language, of_language in names.items():
        shuffled = _shuffled(of_language, seed, language)
        test = max(round(TEST_FRACTION * len(shuffled)), 1) if len(shuffled) >= 2 else 0
        held_out = test + (max(round(VALIDATION_FRACTION * len(shuffled)), 1) if len(shuffled) >= 4 else 0)
        for part, chosen in zip(parts, (slice(held_out, None), slice(test, held_out), slice(test)), strict=True):
            part[language] = sorted(shuffled[chosen])
    return Parts(*parts)


def equal_shares(languages: Iterable[str], workers: int) -> Shares:
    """Every worker gets as much of each language as the others (independent and identically distributed)."""
    return {language: [1.0] * workers for language in languages}


def shares_by_language(languages: Sequence[str], workers: int, seed: int = 0) -> Shares:
    """Every language goes to one worker, and every worker has as many languages as the others, or one more.

    Raises:
        NamesError: there are fewer languages than workers.
    """
    if len(languages) < workers:
        raise NamesError(f"{len(languages)} languages are too few for {workers} workers: a worker would have none")
    return {
        language: [float(worker == place % workers) for worker in range(workers)]
        for place, language in enumerate(_shuffled(languages, seed, "languages"))
    }


def dirichlet_shares(languages: Iterable[str], workers: int, alpha: float, seed: int = 0) -> Shares:
    """Unequal workers: each language's shares are drawn from a Dirichlet distribution.

    Hsu, Qi and Brown 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", deal like this. The smaller alpha, the less alike the workers are; 0.5 is usual.

    Raises:
        NamesError: alpha is not above zero.
    """
    if not 0 < alpha < math.inf:
        raise NamesError(f"alpha is {alpha}: give a number above zero, 0.5 for workers that differ much")
    # Gamma variates, divided by their sum, are a Dirichlet variate. A tiny alpha can make all of them zero in floating
    # point; then one worker has the language, which is the limit for alpha to zero.
    shares: Shares = {}
    for language in languages:
        generator = random.Random(f"{seed} {language} dirichlet")
        shares[language] = [generator.gammavariate(alpha, 1) for _ in range(workers)]
        if not sum(shares[language]):
            shares[language][generator.randrange(workers)] = 1.0
    return shares


def shares_from_table(file: str | Path, languages: Iterable[str], workers: Sequence[str]) -> Shares:
    """Shares that somebody wrote down: a CSV file with the columns language, worker and share.

    Proportions, of which those of a language are divided by their sum; a worker that is not mentioned gets nothing.

    Raises:
        NamesError: the file cannot be used; the text says which line of it, and why.
    """
    file = Path(file)
    shares: Shares = {language: [0.0] * len(workers) for language in languages}
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, skipinitialspace=True)
            if not {"language", "worker", "share"} <= set(table.fieldnames or ()):
                raise NamesError(f"{file} must begin with the line: language,worker,share")
            for row in table:
                language, worker = row["language"], row["worker"]
                if language not in shares:
                    raise NamesError(f"{file}, line {table.line_num}: there are no names of the language {language!r}")
                if worker not in workers:
                    raise NamesError(f"{file}, line {table.line_num}: there is no worker {worker!r}")
                shares[language][workers.index(worker)] += _share(row["share"], f"{file}, line {table.line_num}")
    except UnicodeDecodeError as error:
        raise NamesError(f"{file} is not UTF-8: save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise NamesError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if nobodys := [language for language, of_language in shares.items() if not sum(of_language)]:
        raise NamesError(f"{file} gives {', '.join(nobodys)} to no worker")
    return shares


def workers_of_table(file: str | Path) -> list[str]:
    """The workers that a table of shares mentions, in its order.

    Raises:
        NamesError: the file cannot be read.
    """
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            return list(dict.fromkeys(row.get("worker") or "" for row in csv.DictReader(lines, skipinitialspace=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NamesError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def deal(names: NamesByLanguage, shares: Shares, seed: int = 0) -> list[NamesByLanguage]:
    """Deal names out, each to one worker. Nobody's count differs from the exact share by one name or more.

    Args:
        shares: of each language, for each worker.

    Returns:
        Each worker's names, with every language, of which some may be empty.
    """
    workers = len(next(iter(shares.values())))
    dealt: list[NamesByLanguage] = [{} for _ in range(workers)]
    for language, of_language in names.items():
        shuffled = _shuffled(of_language, seed, language)
        # Shifted by a random part of a name, so that what is left over by rounding does not go to the same workers in
        # every language (systematic sampling: Madow 1949).
        shift = random.Random(f"{seed} {language} shift").random()
        everything = sum(shares[language])
        parts = [sum(shares[language][: worker + 1]) / everything for worker in range(workers)]
        ends = [math.floor(part * len(shuffled) + shift) for part in parts]
        ends[-1] = len(shuffled)
        for hand, start, end in zip(dealt, [0, *ends], ends, strict=False):
            hand[language] = sorted(shuffled[start:end])
    return dealt


def deal_parts(parts: Parts, shares: Shares, seed: int = 0) -> list[Parts]:
    """Deal each of the three parts out alike, so that what a worker tests on is like what it trains on."""
    dealt = [deal(names, shares, seed) for _, names in parts.items()]
    return [Parts(*of_worker) for of_worker in zip(*dealt, strict=True)]


def write_folder(names: Mapping[str, Iterable[str]], folder: str | Path) -> None:
    """Write one `Language.txt` for each language, as `read_folder` reads them; also for a language without names."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for language, of_language in names.items():
        write_whole(folder / f"{language}.txt", "".join(f"{name}\n" for name in of_language).encode())


def write_parts(parts: Parts, folder: str | Path) -> None:
    """Write the three parts as folders, as `read_parts` reads them."""
    for part, names in parts.items():
        write_folder(names, Path(folder) / part)


def _read_all(folder: Path, alphabet: Alphabet) -> Parts:
    """What is in a folder and in the folders of its parts; what is in none is in `train`. Repeats are left."""
    if not folder.is_dir():
        raise NamesError(f"there is no folder {folder}: give one with a file Language.txt for each language")
    found: dict[str, NamesByLanguage] = {TRAIN: {}, VALIDATION: {}, TEST: {}}
    languages = set()
    for place, part in _places(folder):
        for file in sorted(place.glob("*.txt")):
            languages.add(file.stem)
            found[part].setdefault(file.stem, []).extend(_read_file(file, alphabet))
    if not any(map(total, found.values())):
        raise NamesError(f"the folder {folder} holds no names: it needs a file Language.txt for each language")
    return Parts(*({language: names.get(language, []) for language in sorted(languages)} for names in found.values()))


def _places(folder: Path) -> list[tuple[Path, str]]:
    """Where a worker's names may be, and which part those are of that are there."""
    return [(folder, TRAIN), *((folder / part, part) for part in (TRAIN, VALIDATION, TEST))]


def _added_to(folder: Path) -> Path:
    """Where names are added to."""
    return folder / TRAIN if (folder / TRAIN).is_dir() else folder


def _check_language(language: str) -> None:
    if not language.replace(" ", "").replace("-", "").isalpha():
        raise NamesError(f"{language!r} is no name of a language: write it in letters, as in Igbo")


def _read_file(file: Path, alphabet: Alphabet) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise NamesError(f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8, one surname a line") from error
    except OSError as error:
        raise NamesError(f"{file} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST:
            raise NamesError(f"{file}, line {number} is longer than {LONGEST} letters: write one surname a line")
        if line.strip() and not alphabet.has_letters(line):
            raise NamesError(
                f"{file}, line {number}: no letter of {line.strip()!r} is known; write it in {alphabet.scripts} letters"
            )
    return [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]


def _without_repeats(parts: Sequence[NamesByLanguage], alphabet: Alphabet) -> list[NamesByLanguage]:
    """Each language's names once, in the first of the parts that has them."""
    kept: list[NamesByLanguage] = [{language: [] for language in names} for names in parts]
    for language in parts[0]:
        seen = set()
        for part, names in zip(kept, parts, strict=True):
            for name in names[language]:
                if (spelled := alphabet.normalise(name)) not in seen:
                    seen.add(spelled)
                    part[language].append(name)
    return kept


def _shuffled(values: Iterable[str], seed: int, purpose: str) -> list[str]:
    shuffled = sorted(values)
    random.Random(f"{seed} {purpose}").shuffle(shuffled)
    return shuffled


def _share(text: str | None, where: str) -> float:
    try:
        share = float(text or "")
    except ValueError:
        share = -1
    if not 0 <= share < math.inf:
        raise NamesError(f"{where}: {text!r} is no share: write a number, 0 or more")
    return share
