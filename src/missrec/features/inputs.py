"""What an encoder is given of a domain: the text or the image of each item."""

from __future__ import annotations

import hashlib
from typing import Protocol

import polars as pl

INPUT_SCHEMA = pl.Schema(
    {"item_id": pl.UInt32, "outcome": pl.Utf8, "input": pl.Utf8, "sha256": pl.Utf8}
)
"""One row an item. `outcome` is `ok`, or why there is no input; `input` is the text, or the path
of an image, and `sha256` that of its content."""

OK, NO_TEXT = "ok", "no_text"


class InputSource(Protocol):
    """Where the inputs of one modality come from."""

    def find(self, domain: str, items: pl.DataFrame) -> pl.DataFrame:
        """One row an item, as `INPUT_SCHEMA`.

        Args:
            domain: name of the domain.
            items: as `read_items` returns them.
        """


class ItemTexts:
    """The texts of the items themselves; a blank one is none."""

    def find(self, domain: str, items: pl.DataFrame) -> pl.DataFrame:
        """The texts that are not blank."""
        blank = pl.col("text").fill_null("").str.strip_chars() == ""
        texts = items.select(
            "item_id",
            outcome=pl.when(blank).then(pl.lit(NO_TEXT)).otherwise(pl.lit(OK)),
            input=pl.when(~blank).then("text"),
        )
        digests = [text and hashlib.sha256(text.encode()).hexdigest() for text in texts["input"]]
        return texts.with_columns(sha256=pl.Series(digests, dtype=pl.Utf8)).cast(INPUT_SCHEMA)
