"""Readers of the Amazon reviews dumps of 2018 and 2023, streaming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from missrec.data.domain import PreparedDomain
from missrec.data.sources.addresses import is_address
from missrec.data.sources.download import Downloader
from missrec.data.sources.events import EVENTS, ITEM_ROWS, RowBuffer, check_time
from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.keys import check_key
from missrec.data.sources.lines import Rejects, read_object, stream_lines
from missrec.data.sources.text import item_text
from missrec.data.sources.values import plain_text
from missrec.files import sha256

_REMEDY = "delete it, so that it is downloaded again"


class AmazonFormat:
    """What a dump calls things, and how to read one line of it."""

    def __init__(
        self,
        *,
        user: str,
        item: str,
        time: str,
        csv_columns: Sequence[str],
        title: str,
        metadata_item: str,
        text_fields: Sequence[str],
        max_field_chars: int,
        image_fields: Sequence[str],
        images_per_item: int,
    ) -> None:
        """Keeps the names.

        Args:
            user: field of a review.
            item: field of a review.
            time: field of a review.
            csv_columns: the same names in the order of the ratings-only files, whose first line
                may be a header of these.
            title: field that an item must have.
            metadata_item: field of an item's id.
            text_fields: fields of the text, in order.
            max_field_chars: see `item_text`.
            image_fields: fields of a picture's addresses, best first: lists of the item, side by
                side (2018), or keys of the entries of its `images` (2023).
            images_per_item: pictures of an item whose addresses are kept.
        """
        self._fields = (user, item, time)
        self._pick = itemgetter(*(list(csv_columns).index(field) for field in self._fields))
        self._header = ",".join(csv_columns)
        self._num_columns = len(csv_columns)
        self._title = title
        self._metadata_item = metadata_item
        self._text_fields = text_fields
        self._max_field_chars = max_field_chars
        self._image_fields = image_fields
        self._images_per_item = images_per_item

    def is_header(self, line: str) -> bool:
        """Whether the first line of a ratings-only file holds names."""
        return line == self._header

    def rating(self, line: str) -> tuple[str, str, int]:
        """User, item and time of a line of a ratings-only file; ValueError if it has none."""
        values = line.split(",")
        if len(values) != self._num_columns:
            raise ValueError(f"has {len(values)} fields, expected {self._header}")
        return self._event(*self._pick(values))

    def review(self, line: str) -> tuple[str, str, int]:
        """User, item and time of a line of a file of reviews; ValueError if it has none."""
        record = read_object(line)
        missing = [field for field in self._fields if field not in record]
        if missing:
            raise ValueError(f"has no {missing[0]}")
        return self._event(*(record[field] for field in self._fields))

    def item(self, line: str) -> tuple[str, str, list[str]] | None:
        """Key, text and addresses of the images of an item; None if it has no title."""
        record = read_object(line)
        key = record.get(self._metadata_item)
        if not isinstance(key, str):
            raise ValueError(f"has no {self._metadata_item}")
        check_key(self._metadata_item, key)
        if not plain_text(record.get(self._title)).strip():
            return None
        fields = [record.get(field) for field in self._text_fields]
        text = item_text(fields, max_field_chars=self._max_field_chars)
        return key, text, self._image_urls(record)

    def _event(self, user: str, item: str, time: str | int) -> tuple[str, str, int]:
        user_field, item_field, time_field = self._fields
        check_key(user_field, user if isinstance(user, str) else "")
        check_key(item_field, item if isinstance(item, str) else "")
        try:
            moment = int(time)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{time_field} {time!r} is no whole number") from error
        return user, item, check_time(time_field, moment)

    def _image_urls(self, record: dict[str, Any]) -> list[str]:
        entries = record.get("images")
        if isinstance(entries, list) and entries:
            pictures = [
                [entry.get(field) for field in self._image_fields]
                for entry in entries
                if isinstance(entry, dict)
            ]
        else:
            # In 2018 the record has the lists; in 2023, as some loaders give it, `images` has.
            named = entries if isinstance(entries, dict) else record
            columns = (named.get(field) for field in self._image_fields)
            lists = (column if isinstance(column, list) else [] for column in columns)
            pictures = [list(row) for row in zip_longest(*lists)]
        chosen = chain.from_iterable(pictures[: self._images_per_item])
        return [str(url) for url in chosen if is_address(url)]


class AmazonDomain:
    """One category of a dump: what was rated when, and the metadata of the items.

    **Source**: the preparation of UniSRec, github.com/RUCAIBox/UniSRec, `process_amazon.py`.
    **Differs**: an item needs a title, and counts once per user unless the filter keeps repeats;
    equal times go by the file, not by chance; see `clean_text` for the text.
    """

    def __init__(
        self,
        *,
        name: str,
        category: str,
        files: Mapping[str, str],
        interactions: str,
        raw_dir: str,
        downloader: Downloader,
        digests: Mapping[str, str],
        line_format: AmazonFormat,
        interaction_filter: InteractionFilter,
        rejects: Rejects,
        published: Mapping[str, int],
    ) -> None:
        """Keeps the settings; nothing is read yet.

        Args:
            name: of the domain.
            category: as the dump spells it.
            files: kind -> path below the dump's base URL, `{category}` in the category's place;
                one kind is `metadata`.
            interactions: kind of the file to take interactions from: CSV of ratings, or reviews.
            raw_dir: where the files lie, by their last name; one that is not there is downloaded.
            downloader: fetches it.
            digests: last name of a file -> its sha256; without one it is taken as it is.
            line_format: what the dump calls things.
            interaction_filter: which interactions stay.
            rejects: takes the lines that cannot be read.
            published: see `PreparedDomain`.

        Raises:
            ValueError: `interactions` is no kind of file.
        """
        kinds = [kind for kind in files if kind != "metadata"]
        if interactions not in kinds:
            raise ValueError(f"interactions ({interactions!r}) must be one of {', '.join(kinds)}")
        self._name = name
        self._category = category
        self.files = {kind: path.format(category=category) for kind, path in files.items()}
        self._interactions = interactions
        self._raw_dir = Path(raw_dir)
        self._downloader = downloader
        self._digests = digests
        self._format = line_format
        self._filter = interaction_filter
        self._rejects = rejects
        self.published = published

    def read(self) -> PreparedDomain:
        """The whole category, downloaded where it is not there.

        Raises:
            OSError: a file cannot be had.
            ValueError: a file is damaged or another one than expected, too many lines cannot be
                read, or no interaction is left.
        """
        interactions, metadata = self._local(self._interactions), self._local("metadata")
        with self._rejects:
            events, num_rows = self._read_events(interactions)
            items, num_records = self._read_items(metadata)
        return self._filter.domain(
            name=self._name,
            events=events,
            items=items,
            timed=True,
            num_rows=num_rows,
            settings={
                "source": f"Amazon reviews, {self._category}",
                "files": {path.name: sha256(path) for path in (interactions, metadata)},
                "rejected_lines": self._rejects.num_rejected,
                "metadata_records": num_records,
                "items_with_title": len(items),
            },
            published=self.published,
        )

    def _local(self, kind: str) -> Path:
        """The file of a kind here, fetched if need be."""
        name = self.files[kind]
        path = self._raw_dir / Path(name).name
        self._downloader.fetch(name, path, digest=self._digests.get(path.name))
        return path

    def _read_events(self, path: Path) -> tuple[pl.DataFrame, int]:
        """The events of the file, and how many rows it has."""
        buffer = RowBuffer(EVENTS)
        lines = stream_lines(path, remedy=_REMEDY)
        parse = self._format.review
        if ".csv" in path.suffixes:
            parse = self._format.rating
            lines = (row for row in lines if row[0] > 1 or not self._format.is_header(row[1]))
        num_rows = self._rejects.collect(path, lines, lambda line: buffer.add(*parse(line)))
        return buffer.frame(), num_rows

    def _read_items(self, path: Path) -> tuple[pl.DataFrame, int]:
        """The items of the file that have a title, each once, and how many rows it has."""
        buffer = RowBuffer(ITEM_ROWS)

        def parse(line: str) -> None:
            item = self._format.item(line)
            if item is not None:
                buffer.add(*item)

        lines = stream_lines(path, remedy=_REMEDY)
        num_rows = self._rejects.collect(path, lines, parse)
        return buffer.frame().unique("item_key", keep="first", maintain_order=True), num_rows
