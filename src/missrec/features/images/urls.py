"""The images of items by their URLs."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from missrec.features.checks import check_truths
from missrec.features.images.decoding import NO_IMAGE, mark_placeholders
from missrec.features.images.fetching import Fetched, ImageFetcher
from missrec.features.images.naming import ADDRESS
from missrec.features.images.record import RETRIABLE, FetchRecord
from missrec.features.inputs import A_PATH, INPUT_SCHEMA, OK
from missrec.features.progress import items_progress

_log = logging.getLogger(__name__)


class ImagesFromUrls:
    """Fetches what is missing of `image_urls`, best first, until an item has an image.

    A path among them is left alone: `a_path`.

    `<cache_dir>/<domain>/` keeps the files and the record of every outcome.
    """

    def __init__(
        self,
        *,
        cache_dir: str,
        fetcher: ImageFetcher,
        max_urls_per_item: int,
        retry: Sequence[str] | None,
        placeholder_min_share: float,
        placeholder_min_items: int,
        show_progress: bool,
    ) -> None:
        """Keeps the settings.

        Args:
            cache_dir: folder of the image folders of all domains.
            fetcher: what fetches.
            max_urls_per_item: URLs of an item that are tried, at most.
            retry: outcomes of earlier runs that are otherwise final and whose URLs are asked
                again, of `RETRIABLE`; or one of them. None for none.
            placeholder_min_share: see `mark_placeholders`.
            placeholder_min_items: see `mark_placeholders`.
            show_progress: draw a progress bar.

        Raises:
            ValueError: max_urls_per_item < 1, another outcome to retry, or show_progress neither
                True nor False.
        """
        check_truths(show_progress=show_progress)
        if max_urls_per_item < 1:
            raise ValueError(f"max_urls_per_item ({max_urls_per_item}) must be at least 1")
        self._retry = {retry} if isinstance(retry, str) else set(retry or ())
        if other := sorted(self._retry - set(RETRIABLE)):
            raise ValueError(
                f"retry ({', '.join(other)}) must be of {', '.join(RETRIABLE)}; any other outcome "
                "but ok is asked again in every run"
            )
        self._cache_dir = Path(cache_dir)
        self._fetcher = fetcher
        self._max_urls_per_item = max_urls_per_item
        self._min_share = placeholder_min_share
        self._min_items = placeholder_min_items
        self._show_progress = show_progress

    def find(self, domain: str, items: pl.DataFrame) -> pl.DataFrame:
        """The images there are once what was missing has been fetched."""
        if "image_urls" not in items.columns:
            _log.warning("%s: items.parquet has no image_urls, so its items have no images", domain)
            items = items.with_columns(image_urls=pl.lit([], dtype=pl.List(pl.Utf8)))
        folder = self._cache_dir / domain
        folder.mkdir(parents=True, exist_ok=True)
        record = FetchRecord(folder, retry=self._retry)
        candidates = _candidates(items)
        tried = candidates.clear().join(record.table().clear(), on="url")
        with record.journal():
            # The second URLs are tried once the first ones have shown which items need them.
            for rank in range(self._max_urls_per_item):
                served = tried.filter(outcome=OK)["item_id"].implode()
                turn = candidates.filter(pl.col("rank") == rank, ~pl.col("item_id").is_in(served))
                self._fetch(domain, turn["url"].unique(maintain_order=True), folder, record)
                tried = mark_placeholders(
                    pl.concat([tried, turn.join(record.table(), on="url")]),
                    min_share=self._min_share,
                    min_items=self._min_items,
                    num_items=len(items),
                )
        record.finish(tried.sort("item_id", "rank"))
        return _best(items, tried, folder)

    def _fetch(self, domain: str, urls: pl.Series, folder: Path, record: FetchRecord) -> None:
        missing = []
        for url in urls.filter(~urls.is_in(list(record.results))):
            if re.match(ADDRESS, url):
                missing.append(url)
            else:
                record.note(Fetched(url, A_PATH))
        if not missing:
            return
        with items_progress(shown=self._show_progress) as progress:
            task = progress.add_task(f"{domain}: images", total=len(missing))

            def done(fetched: Fetched) -> None:
                record.note(fetched)
                progress.advance(task)

            self._fetcher.fetch(missing, folder, done=done)


def _candidates(items: pl.DataFrame) -> pl.DataFrame:
    """`item_id`, `item_key`, `url`, `rank`; rank 0 is the best URL of an item."""
    return (
        items.select("item_id", "item_key", url="image_urls")
        .explode("url")
        .filter(pl.col("url") != "")
        .unique(["item_id", "url"], keep="first", maintain_order=True)
        .with_columns(rank=pl.int_range(pl.len()).over("item_id"))
    )


def _best(items: pl.DataFrame, tried: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """One row an item, as `INPUT_SCHEMA`: its image, or else what became of its best URL.

    A path among the URLs comes before these, as there may be an image.
    """
    best = (
        tried.sort("item_id", pl.col("outcome") != OK, pl.col("outcome") != A_PATH, "rank")
        .unique("item_id", keep="first", maintain_order=True)
        .with_columns(input=f"{folder}/" + pl.col("file"))
    )
    return (
        items.select("item_id")
        .join(best, on="item_id", how="left", maintain_order="left")
        .with_columns(pl.col("outcome").fill_null(NO_IMAGE))
        .select(*INPUT_SCHEMA)
        .cast(INPUT_SCHEMA)
    )
