"""The terms of a text in any script: words, and characters where no blanks part the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from unicodedata import combining, normalize

import regex

_PARTS_OF_LETTERS = {0, 6, 7, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132}
"""Combining classes of marks without which a letter is another: the vowel signs, nuktas and viramas
of Indic scripts, the tones of Thai and Lao, the voicing of kana. All other marks are accents, or
the points of Hebrew and Arabic, which most texts leave out."""

# Soft hyphens, joiners, directions, enclosing marks and the stretching of Arabic stand within
# words; the blank without a width (200b) parts them.
_IGNORED = regex.compile(r"[[\p{Default_Ignorable_Code_Point}\p{Me}\u0640]--\u200b]", regex.V1)

_ANY = r"[\w\p{M}]"
# Chinese, Japanese; Korean, whose words carry their particles; and the scripts whose lines Unicode
# has broken by a dictionary (class SA): Thai, Lao, Khmer, Burmese and their kin.
_UNSPACED = (
    r"[[\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Hang}\p{Line_Break=SA}]"
    rf"&&{_ANY}]"
)
_SPACED = rf"[a-z0-9[{_ANY}--{_UNSPACED}]]"  # the most frequent first, for speed
_WORD = rf"({_SPACED}+(?:(?:\+\+?|\#)(?!{_SPACED}))?)"  # such as C++
_JOINER = r"([-/&.+]|(?<=\d)[,:](?=\d))"
_RUN = regex.compile(
    # A lone letter or digit belongs to the characters beside it, as in "vitamin C" in Chinese.
    rf"(?P<characters>(?:(?<!{_SPACED}){_SPACED})?{_UNSPACED}+(?:{_SPACED}(?!{_SPACED}))?)"
    rf"|{_WORD}(?:{_JOINER}{_WORD})*",
    regex.V1,
)
_PARTS = regex.compile(rf"{_WORD}{_JOINER}?", regex.V1)
_CHARACTER = regex.compile(r"\X")  # with its marks


def text_terms(text: str, *, max_ngram: int, max_char_ngram: int) -> list[str]:
    """All terms of a text, each as often as it occurs.

    These are the words of two letters or more and their n-grams; pairs that a sign joins where one
    of them is shorter, as in `USB-C`, `3.5mm`, `H&M`, and letters with signs, as in `C++`; and the
    n-grams of characters in scripts that put no blanks between words.

    Args:
        text: as it is; upper case, accents and the width of letters make no difference.
        max_ngram: longest run of words that is a term.
        max_char_ngram: longest run of characters that is a term.
    """
    words: list[str] = []
    terms: list[str] = []
    for run in _RUN.finditer(fold(text)):
        if run.lastgroup == "characters":
            terms += _ngrams(_CHARACTER.findall(run[0]), max_char_ngram, "")
        elif run[0].isalnum():  # most are words alone
            words += [run[0]] * (len(run[0]) > 1)
        else:
            parts = _PARTS.findall(run[0])
            words += [word for word in (_bare(part) for part, _ in parts) if len(word) > 1]
            terms += _with_signs(parts)
    return [*_ngrams(words, max_ngram, " "), *terms]


def fold(text: str) -> str:
    """The text in lower case, without accents and what is not seen, its letters whole."""
    if text.isascii():
        return text.lower()
    marks_apart = _IGNORED.sub("", normalize("NFKD", text).lower())
    return normalize("NFC", "".join(c for c in marks_apart if combining(c) in _PARTS_OF_LETTERS))


def _bare(word: str) -> str:
    return word.rstrip("+#")


def _with_signs(parts: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Of words with what joins each to the next: short ones with signs, and their pairs."""
    for word, _ in parts:
        if _is_short(word) and word != _bare(word):
            yield word
    for (word, joiner), (following, _) in pairwise(parts):
        if _is_short(word) or _is_short(following):
            yield word + joiner + following


def _is_short(word: str) -> bool:
    return len(_bare(word)) == 1


def _ngrams(parts: Sequence[str], longest: int, between: str) -> Iterator[str]:
    for length in range(1, longest + 1):
        for start in range(len(parts) - length + 1):
            yield between.join(parts[start : start + length])
