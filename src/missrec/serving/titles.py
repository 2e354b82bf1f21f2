"""Search by text: all words must occur, in any order; accents and upper case are the same."""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import NamedTuple

import polars as pl


class Found(NamedTuple):
    """What a search found.

    Attributes:
        rows: of the first ones, by how early the whole of the text occurs, then in their order.
        total: how many there are.
    """

    rows: list[int]
    total: int


class TextSearch:
    """Finds rows of texts, such as the titles and keys of items."""

    def __init__(self, texts: pl.Series) -> None:
        """Keeps the texts (N,) as they are compared."""
        self._texts = _plain(texts.alias("text")).to_frame().with_row_index("row")

    def find(self, asked: str, *, limit: int) -> Found:
        """The rows whose text has all words of what is asked; without a word all rows.

        Args:
            asked: words, or beginnings or other parts of them.
            limit: rows to name.
        """
        plain = _plain(pl.Series([asked]))[0].strip()
        words = [pl.col("text").str.contains(word, literal=True) for word in plain.split()]
        found = self._texts.filter(reduce(and_, words, pl.lit(value=True)))
        first = found
        if words:
            place = pl.col("text").str.find(plain, literal=True)
            first = found.sort(place, nulls_last=True, maintain_order=True)
        return Found(first["row"].head(limit).to_list(), len(found))


def _plain(texts: pl.Series) -> pl.Series:
    """Lower case, without the marks of accents."""
    parts = texts.str.normalize("NFKD").str.replace_all(r"\p{Mn}", "")
    return parts.str.to_lowercase()
