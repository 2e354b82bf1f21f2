"""Texts of items, cleaned of what a web page left in them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from missrec.data.sources.values import plain_text

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, other line breaks, halves of surrogate pairs."""

_COMMENTS = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_SCRIPTS = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)", re.DOTALL | re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>")
_CUT_TAG = re.compile(r"<[a-zA-Z]+\s[^<>]*=[^<>]*$")  # as in scraped titles: `<span class="a-`


def clean_text(value: object) -> str:
    """One field of an item as a sentence: `Arts &amp; <b>Crafts</b>` becomes `Arts & Crafts.`.

    What lists and objects hold is joined by blanks. Entities are replaced; comments, scripts,
    styles and tags go, also a tag that was cut off at the end; control characters and runs of
    blanks become one blank; double quotes go; whatever number of full stops ends it becomes one.
    Nothing stays nothing.

    **Source**: UniSRec's preparation of Amazon's data. **Differs**: UniSRec keeps tags and runs of
    blanks, and an empty field becomes a full stop there.
    """
    text = html.unescape(plain_text(value))
    for pattern in (_COMMENTS, _SCRIPTS, _TAGS, _CUT_TAG, UNPRINTABLE):
        text = pattern.sub(" ", text)
    text = " ".join(text.replace('"', "").split()).rstrip(". ")
    return f"{text}." if text else ""


def item_text(fields: Iterable[object], *, max_field_chars: int | None = None) -> str:
    """The cleaned fields, one sentence after another: "title. categories. brand.".

    Args:
        fields: in order; empty ones are left out.
        max_field_chars: a field as long as that is left out, as UniSRec does with 2,000: it is no
            title but the text of a whole page. None keeps all.
    """
    sentences = (clean_text(field) for field in fields)
    return " ".join(
        text for text in sentences if text and len(text) < (max_field_chars or len(text) + 1)
    )
