"""Fetches the images of `<folder>/items.parquet`, one after the other; a test kills it."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from image_server import image_fetcher
from missrec.features.images.urls import ImagesFromUrls

folder = Path(sys.argv[1])
source = ImagesFromUrls(
    cache_dir=str(folder),
    fetcher=image_fetcher(max_connections_per_host=1, read_timeout_sec=60, total_timeout_sec=60),
    max_urls_per_item=1,
    retry=[],
    placeholder_min_share=0.05,
    placeholder_min_items=10,
    show_progress=False,
)
source.find("tiny", pl.read_parquet(folder / "items.parquet"))
