"""One's own items, whatever the columns are called."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import polars as pl

from missrec.data.sources.addresses import read_addresses, what_is_wrong
from missrec.data.sources.events import ITEM_ROWS, RowBuffer
from missrec.data.sources.keys import read_key, without_twins
from missrec.data.sources.lines import Rejects
from missrec.data.sources.parts import Part, find_parts
from missrec.data.sources.settings import a_word, layout, words
from missrec.data.sources.tables import collect_table, columns_of
from missrec.data.sources.text import item_text
from missrec.data.sources.values import NULLS, shown, unwritten

_log = logging.getLogger(__name__)


class OwnItems:
    """A table with one item a row."""

    def __init__(
        self,
        *,
        path: str | Sequence[str] | None,
        item: str,
        texts: Sequence[str] | None,
        images: Sequence[str] | None,
        delimiter: str | None = None,
        encoding: str | None = None,
        quoting: str | None = "standard",
        escape: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        """Keeps the settings.

        Args:
            path: of the file, or files, see `find_parts`; None where there is none.
            item: column of the item's id.
            texts: columns of its text, in order; each becomes a sentence, see `clean_text`.
            images: columns of addresses of its images, best first; see `read_addresses`.
            delimiter: see `Layout`.
            encoding: see `Layout`.
            quoting: see `Layout`.
            escape: see `Layout`.
            columns: see `Layout`.

        Raises:
            ValueError: settings that cannot be, or do not go together.
        """
        self._paths = path
        self._item = a_word("item", item)
        self._texts = words("texts", texts)
        self._images = words("images", images)
        self._layout = layout(delimiter, encoding, quoting, escape, columns)

    @property
    def parts(self) -> list[Part]:
        """The files, see `find_parts`; none where none is named."""
        return find_parts(self._paths) if self._paths else []

    def read(self, rejects: Rejects) -> tuple[pl.DataFrame, int]:
        """The items, each once, the first of several; and the number of rows.

        Raises:
            FileNotFoundError, ValueError: see `find_parts`, `open_part` and `Rejects.collect`; or
                a column does not occur.
        """
        columns = [self._item, *self._texts, *self._images]
        first_image = 1 + len(self._texts)
        buffer = RowBuffer(ITEM_ROWS)

        def add(values: Sequence[Any]) -> str | None:
            key = read_key(values[0], self._item)
            addresses: list[str] = []
            refused: list[str] = []
            for column, cell in zip(self._images, values[first_image:], strict=True):
                found = read_addresses(cell)
                addresses += found.kept
                refused += [
                    f"{column} {shown(text)}{what_is_wrong(text)}" for text in found.refused
                ]
            buffer.add(key, item_text(map(_said, values[1:first_image])), addresses)
            return f"no address and no image file: {', '.join(refused)}" if refused else None

        with columns_of(
            "items", {"item": self._item, "texts": list(self._texts), "images": list(self._images)}
        ):
            num_rows = collect_table(
                self.parts, columns=columns, layout=self._layout, rejects=rejects, add=add
            )
        return _each_once(buffer.frame()), num_rows


def _said(cell: Any) -> Any:
    """What a cell of text says: what is in a list written as one, nothing where it is a null."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if text.startswith(("[", "{", "(", "b'", 'b"')):
        return unwritten(text)
    return None if text in NULLS else cell


def _each_once(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each item; says what the others are."""
    keys = without_twins(rows["item_key"])
    if changed := int((is_other := keys != rows["item_key"]).sum()):
        was, now = rows["item_key"].filter(is_other)[0], keys.filter(is_other)[0]
        _log.warning(
            "items: %s keys have decimals that others lack, %r is read as %r",
            f"{changed:,}",
            was,
            now,
        )
    is_again = ~keys.is_first_distinct()
    if num_again := int(is_again.sum()):
        _log.warning(
            "items: %s of %s rows list an item again, such as %r; of each the first row counts",
            f"{num_again:,}",
            f"{len(rows):,}",
            keys.filter(is_again)[0],
        )
    return rows.with_columns(item_key=keys).filter(~is_again)
