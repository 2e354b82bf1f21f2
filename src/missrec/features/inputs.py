"""What an encoder is given of a domain: the text or the image of each item."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import polars as pl

INPUT_SCHEMA = pl.Schema(
    {"item_id": pl.UInt32, "outcome": pl.Utf8, "input": pl.Utf8, "sha256": pl.Utf8}
)
"""One row an item. `outcome` is `ok`, or why there is no input; `input` is the text, or the path
of an image, and `sha256` that of its content."""

OK, NO_TEXT = "ok", "no_text"
A_PATH = "a_path"
"""The input is a file, and its source reads none: whether there is one is not known."""


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
        return _with_digests(texts)


class ItemTextsWithoutWords:
    """A second view of the texts: each without some of its words, at least one stays.

    **Source**: word drop of UniSRec, section 2.2.2. What is dropped depends on text and seed alone.
    """

    def __init__(self, *, word_drop_prob: float, seed: int) -> None:
        """Keeps the settings.

        Args:
            word_drop_prob: of each word, in [0, 1).
            seed: of the draws.

        Raises:
            ValueError: word_drop_prob is outside its range.
        """
        if not 0 <= word_drop_prob < 1:
            raise ValueError(f"word_drop_prob ({word_drop_prob}) must be in [0, 1)")
        self._prob = word_drop_prob
        self._seed = seed

    def find(self, domain: str, items: pl.DataFrame) -> pl.DataFrame:
        """The texts that are not blank, without the words dropped."""
        whole = ItemTexts().find(domain, items)
        left = [
            text and self._drop_words(text, digest)
            for text, digest in zip(whole["input"], whole["sha256"], strict=True)
        ]
        return _with_digests(whole.with_columns(input=pl.Series(left, dtype=pl.Utf8)))

    def _drop_words(self, text: str, digest: str) -> str:
        words = text.split()
        generator = np.random.default_rng([self._seed, *bytes.fromhex(digest)])
        draws = generator.random(len(words))
        kept = draws >= min(self._prob, draws.max())
        return " ".join(word for word, keep in zip(words, kept, strict=True) if keep)


def _with_digests(texts: pl.DataFrame) -> pl.DataFrame:
    digests = [text and hashlib.sha256(text.encode()).hexdigest() for text in texts["input"]]
    return texts.with_columns(sha256=pl.Series(digests, dtype=pl.Utf8)).cast(INPUT_SCHEMA)
