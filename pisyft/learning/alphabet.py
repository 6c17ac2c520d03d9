"""The letters that names are spelled in, the same on every worker of a federation. Needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
import string
import unicodedata
from dataclasses import asdict, dataclass
from functools import cached_property


class NamesError(Exception):
    """The names cannot be used. The text says which folder, file or name, and what to do."""


@dataclass(frozen=True)
class Alphabet:
    """Letters in an agreed order, and what becomes of a name that has others.

        >>> UNICODE.normalise("Mu\u0308ller"), TUTORIAL.normalise("Müller")
        ('Müller', 'Muller')

    Attributes:
        name: what the federation calls it, and a released model's card.
        letters: all symbols, in order; the first has the number 1.
        scripts: the writing systems whose letters it has, for people to read.
        accents: whether letters keep them, as one symbol with the letter where Unicode has one (NFC).
        unknown: the symbol, one of the letters, that stands for all that are not in the list; "" leaves them out.
    """

    name: str
    letters: str
    scripts: str
    accents: bool
    unknown: str

    @property
    def size(self) -> int:
        """How many symbols there are. Padding, the number 0, is not one of them."""
        return len(self.letters)

    def normalise(self, name: str) -> str:
        """The name in these letters. Two names that become one are one for every model."""
        if self.accents:
            name = unicodedata.normalize("NFC", " ".join(name.split()).translate(_PLAIN_SIGNS))
        else:
            name = unicodedata.normalize("NFD", name.strip())
        return "".join(letter if letter in self._numbers else self.unknown for letter in name)

    def has_letters(self, name: str) -> bool:
        """Whether anything of the name is known beside spaces and signs."""
        return any(letter.isalpha() for letter in self.normalise(name))

    def encode(self, name: str) -> list[int]:
        """The numbers of the name's letters, 1 to `size`.

        Raises:
            NamesError: no letter of the name is known.
        """
        if not self.has_letters(name):
            raise NamesError(f"no letter of {name!r} is known: write it in {self.scripts} letters")
        return [self._numbers[letter] for letter in self.normalise(name)]

    def digest(self) -> str:
        """SHA-256 over all that decides how a name is spelled, in hexadecimal: equal where two sides agree."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {letter: number for number, letter in enumerate(self.letters, 1)}


def alphabet_by_name(name: str) -> Alphabet:
    """The alphabet of this name.

    Raises:
        NamesError: there is none. The text names those that there are.
    """
    if name not in _ALPHABETS:
        raise NamesError(f"there is no alphabet {name!r}: choose one of {', '.join(_ALPHABETS)}")
    return _ALPHABETS[name]


# What keyboards and word processors write for an apostrophe and a hyphen.
_PLAIN_SIGNS = str.maketrans("‘’ʼʻʹ`´‐‑‒–", "'''''''----")


def _between(*ends: str) -> str:
    """All letters from the first of each pair to its second, in the order of Unicode."""
    return "".join(chr(code) for pair in ends for code in range(ord(pair[0]), ord(pair[1]) + 1))


# The tutorial's 57 letters.
TUTORIAL = Alphabet("tutorial", string.ascii_letters + " .,;'", "Latin", accents=False, unknown="")

# Written out instead of asked of `unicodedata`, whose answers differ between versions of Python.
UNICODE = Alphabet(
    "unicode",
    _between("AZ", "az")
    + " '-."
    # Latin: Western and Central Europe, Turkey, the Baltic, Esperanto, Maltese, Sami
    + _between("ÀÖ", "Øö", "øÿ", "Āň", "Ŋž")
    # Romanian; pinyin's tones; Azerbaijani; Hausa, Ewe; Skolt Sami; Danish stress
    + "ȘșȚț"
    + "ǍǎǏǐǑǒǓǔǕǖǗǘǙǚǛǜ"
    + "Əə"
    + "ƁɓƊɗƘƙƳƴƉɖƐɛƑƒƔɣƆɔƲʋ"
    + "ǤǥǦǧǨǩǪǫǮǯƷʒ"
    + "ǺǻǼǽǾǿ"
    # Vietnamese and Yoruba; Welsh and German; Igbo, Yoruba, and romanised Arabic and Sanskrit
    + "ƠơƯư"
    + _between("Ạỹ")
    + "ẀẁẂẃẄẅẞ"
    + "ṄṅṢṣḌḍḤḥḲḳḶḷṂṃṆṇṚṛṬṭẒẓḎḏḪḫṮṯẔẕ"
    # accents on letters that Unicode has no symbol for together with them, as in the Yoruba ọ́
    + "\u0300\u0301\u0302\u0303\u0304\u0306\u0308\u030c\u0323\u0327\u0328\u0331"
    # Greek as it is written today
    + "ΆΈΉΊΌΎΏΐ"
    + _between("ΑΡ", "Σώ")
    # Cyrillic: Slavic languages; languages of the Caucasus and Central Asia
    + _between("Ѐџ", "ҐӀ", "Ӂӹ")
    # and any other letter
    + "\ufffd",
    "Latin, Greek or Cyrillic",
    accents=True,
    unknown="\ufffd",
)

_ALPHABETS = {alphabet.name: alphabet for alphabet in (TUTORIAL, UNICODE)}
