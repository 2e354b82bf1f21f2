from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from missrec.features.encoders.terms import fold, text_terms


def terms(text: str, *, max_ngram: int = 1, max_char_ngram: int = 2) -> list[str]:
    return text_terms(text, max_ngram=max_ngram, max_char_ngram=max_char_ngram)


@pytest.mark.parametrize(
    "text",
    [
        "Porter-Cable 740001201 Sanding Roll, 120 grit (10 rolls); it's the best_of 2019!",
        "Café crème brûlée: Ångström, naïve, El Niño",
        "a I x 7 _ __ ---",
        "Женская обувь из кожи, Ελληνικός καφές, Tiếng Việt",
        "كتاب أحمر  ספר ילדים",
        "",
    ],
)
def test_words_of_scripts_with_blanks_are_those_of_before(text: str) -> None:
    before = TfidfVectorizer(ngram_range=(1, 2), strip_accents="unicode").build_analyzer()
    assert terms(text, max_ngram=2) == before(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C++ for beginners", "c++"),
        ("C/C++", "c++"),
        ("C#, F#", "f#"),
        ("3.5mm jack", "3.5mm"),
        ("2.4 GHz", "2.4"),
        ("scale 1:24", "1:24"),
        ("1,5 L", "1,5"),
        ("USB-C cable", "usb-c"),
        ("USB-A/USB-C", "usb-c"),
        ("AC/DC", "ac dc"),
        ("A/C", "a/c"),
        ("H&M", "h&m"),
        ("T-Shirt", "t-shirt"),
        ("batería A+", "a+"),
    ],
)
def test_signs_that_make_a_short_word_known_stay(text: str, found: str) -> None:
    assert found in terms(text, max_ngram=2)


def test_signs_add_nothing_to_words_that_are_known_without() -> None:
    assert terms("AC/DC Notepad++ Wi-Fi, don't; item#5 (#1) 12/30 end.") == [
        *("ac", "dc", "notepad", "wi", "fi", "don", "item", "12", "30", "end")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में क़लम", ["हिन्दी", "में", "क़लम"]),  # vowel signs, virama and nukta stay
        ("বাংলা বই", ["বাংলা", "বই"]),
        ("தமிழ் புத்தகம்", ["தமிழ்", "புத்தகம்"]),
        ("手机壳", ["手", "机", "壳", "手机", "机壳"]),
        ("U盘", ["u", "盘", "u盘"]),
        ("维C", ["维", "c", "维c"]),
        ("iPhone手机", ["iphone", "手", "机", "手机"]),
        ("がく", ["が", "く", "がく"]),
        ("ｶﾞｽ", ["ガ", "ス", "ガス"]),
        ("コー", ["コ", "ー", "コー"]),
        ("時々", ["時", "々", "時々"]),
        ("가방", ["가", "방", "가방"]),
        ("ไม้", ["ไ", "ม้", "ไม้"]),  # a consonant with its tone
        ("ສີ", ["ສີ"]),
        ("ខ្មែរ", ["ខ្មែ", "រ", "ខ្មែរ"]),
        ("😀 ❤️ ☎️ !?", []),
    ],
)
def test_each_script_has_its_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == [fold(term) for term in expected]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CAFÉ", "cafe"),
        ("cafe\u0301", "café"),
        ("\uff35\uff33\uff22", "usb"),
        ("İstanbul", "istanbul"),
        ("furni\u00adture", "furniture"),
        ("น้ำ", "น้\u0e4d\u0e32"),
        ("كِتَابٌ", "كتاب"),
        ("كتـــاب", "كتاب"),
        ("סֵפֶר", "ספר"),
        ("क\u093c", "\u0958"),
        ("가", "\u1100\u1161"),
        ("か\u3099", "が"),
        ("क्\u200dष", "क्ष"),
    ],
)
def test_what_is_written_in_two_ways_is_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"), [("かき", "かぎ"), ("कल", "काल"), ("ไม", "ไม้"), ("가", "거"), ("カ", "か")]
)
def test_what_differs_by_a_part_of_a_letter_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_runs_of_characters_end_where_words_begin() -> None:
    assert terms("红色 red 蓝", max_ngram=2, max_char_ngram=3) == [
        *("red", "红", "色", "红色", "蓝")
    ]
