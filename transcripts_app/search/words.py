"""Words as the index sees them: FTS5's `unicode61 remove_diacritics 2`. No Django here.

Letters, digits and private-use characters make words, everything else parts them, `_` and
punctuation too; case and diacritics do not count. A run of Chinese or Japanese is one word.
Source: sqlite.org/fts5.html, "Unicode61 Tokenizer".
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache

MARKS = "\u0300-\u036f"
_WORD = re.compile(f"(?:[^\\W_]|[\ue000-\uf8ff]|[{MARKS}])+")
_LETTER = re.compile("[^\\W_]|[\ue000-\uf8ff]")
_IN_WORD = f"[^\\W_]|[{MARKS}]"


def words_of_text(text: str) -> list[str]:
    """Return the words of a text, with their marks: which of these count not, the index knows best."""
    return [
        found.lower() if found.isascii() else found for found in _WORD.findall(text) if _LETTER.search(found)
    ]


def word_fold(word: str) -> str:
    """Return a word without case and diacritics."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFD", word.lower())
    return "".join(letter for letter in plain if unicodedata.category(letter) != "Mn")


def words_pattern(phrases: Sequence[tuple[Sequence[str], bool]], *, ascii_only: bool) -> re.Pattern[str]:
    """Return a pattern that finds any of these phrases (words, whether the last is a beginning).

    Each phrase is a group of its own, so that `match.lastindex - 1` is its number.
    """
    return re.compile("|".join(f"({_phrase(words, prefix, ascii_only)})" for words, prefix in phrases), re.I)


def _phrase(words: Sequence[str], prefix: bool, ascii_only: bool) -> str:
    inner = r"[\W_]+".join(_word(word, ascii_only) for word in words)
    end = r"[^\W_]*" if prefix else f"(?!{_IN_WORD})"
    return f"(?<![^\\W_]){inner}{end}"


def _word(word: str, ascii_only: bool) -> str:
    if ascii_only:
        return re.escape(word)
    return "".join(f"{_letter(letter)}[{MARKS}]*" for letter in word_fold(word))


def _letter(letter: str) -> str:
    others = _with_marks().get(letter, "")
    return f"[{re.escape(letter)}{others}]" if others else re.escape(letter)


@cache
def _with_marks() -> dict[str, str]:
    """Which letters fold to a letter: é, è, ê … to e."""
    found: dict[str, str] = {}
    for number in range(0xC0, min(0x2000, sys.maxunicode)):
        letter = chr(number)
        folded = word_fold(letter)
        if len(folded) == 1 and folded != letter.lower() and letter.isalpha():
            found[folded] = found.get(folded, "") + letter
    return found
