from __future__ import annotations

import pytest

from missrec.data.sources.text import clean_text, item_text


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Arts &amp; Crafts", "Arts & Crafts."),
        ("a <b>bold</b> claim<br/>and more", "a bold claim and more."),
        ('<span class="a-size-medium a-color-secondary"', ""),  # as 148 real magazines are called
        ('Reason <a href="x', "Reason."),
        ("3 < 5 and 7 > 6", "3 < 5 and 7 > 6."),
        ("x<y", "x<y."),
        ("<!-- .h {color: red} --> <style>p {}</style>Pens<script>if (a<b) {}</script>", "Pens."),
        ("<!-- never closed", ""),
        ('a\t"quoted"\r\n line\x00\x1b\u2028here', "a quoted line here."),
        ("half a pair \ud83d", "half a pair."),
        ("Inc...", "Inc."),
        (". . .", ""),
        (["Home", "Garden &amp; Patio", None], "Home Garden & Patio."),
        ([], ""),
        (None, ""),
        (12, "12."),
    ],
)
def test_field_becomes_a_clean_sentence(raw: object, cleaned: str) -> None:
    assert clean_text(raw) == cleaned


def test_text_is_the_fields_that_say_something() -> None:
    assert item_text(["Glue", [], "Gorilla."]) == "Glue. Gorilla."


@pytest.mark.parametrize(("length", "stays"), [(1_998, True), (1_999, False)])
def test_field_as_long_as_a_page_is_left_out(length: int, stays: bool) -> None:
    text = item_text(["x" * length, "Brand"], max_field_chars=2_000)  # the full stop counts
    assert text == ("x" * length + ". Brand." if stays else "Brand.")
