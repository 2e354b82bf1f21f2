from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from missrec.app.trained.explored import epochs_of, maps_of, pictures_of
from missrec.data.domain import ITEMS
from missrec.features.images.record import FETCHED_SCHEMA, MANIFEST
from missrec.files import write_parquet

PICTURE = b"any bytes"


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """Items a, b, c and one whose key is a path; c names a file."""
    folder = tmp_path / "data" / "toys"
    folder.mkdir(parents=True)
    urls = pl.Series([[], [], ["deep/other.jpg"], []], dtype=pl.List(pl.Utf8))
    items = pl.DataFrame({"item_key": ["a", "b", "c", "../d"], "image_urls": urls})
    write_parquet(folder / ITEMS, items)
    return folder


@pytest.fixture
def images(domain: Path) -> Path:
    folder = domain.parent / "images"
    for name in ("toys/a.png", "toys/deep/b.JPG", "toys/deep/other.jpg", "d.png", "toys/x.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURE)
    return folder


def record(folder: Path, *rows: tuple[str, str, str | None]) -> None:
    """Of these keys, outcomes and files."""
    columns = pl.DataFrame(rows, schema=["item_key", "outcome", "file"], orient="row")
    others = [pl.lit(None, dtype).alias(name) for name, dtype in FETCHED_SCHEMA.items()]
    missing = [column for column in others if column.meta.output_name() not in columns.columns]
    write_parquet(folder / MANIFEST, columns.with_columns(missing))


def test_files_are_taken_as_images_from_a_folder_are(domain: Path, images: Path) -> None:
    found = pictures_of(domain, images)
    assert len(found) == 3
    paths = {key: picture.path for key in "abc" if (picture := found.of(key))}
    assert {key: path.name for key, path in paths.items()} == {
        "a": "a.png",
        "b": "b.JPG",
        "c": "other.jpg",
    }
    assert found.of("../d") is None


def test_where_images_were_fetched_the_record_says_which_there_are(
    domain: Path, images: Path
) -> None:
    record(
        images / "toys",
        ("a", "not_found", None),
        ("a", "ok", "x.png"),
        ("a", "ok", "a.png"),  # of a worse address
        ("b", "placeholder", "a.png"),
        ("c", "ok", "../d.png"),  # inside of the images
        ("../d", "ok", "../../toys/items.png"),
    )
    (domain / "items.png").write_bytes(PICTURE)
    found = pictures_of(domain, images)
    best = found.of("a")
    assert best is not None
    assert best.path.name == "x.png"
    assert "b" not in found
    assert found.of("c") is not None
    assert found.of("../d") is None


def test_links_out_of_the_images_are_not_followed(domain: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "a.png").write_bytes(PICTURE)
    images = domain.parent / "images"
    images.mkdir()
    (images / "toys").symlink_to(outside)
    assert pictures_of(domain, images).of("a") is None


def test_without_images_there_are_no_pictures(domain: Path) -> None:
    assert len(pictures_of(domain, domain.parent / "images")) == 0


def test_a_damaged_record_is_told(domain: Path, images: Path) -> None:
    (images / "toys" / MANIFEST).write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"manifest.parquet cannot be read"):
        pictures_of(domain, images)


def test_epochs_are_what_training_noted(tmp_path: Path) -> None:
    assert epochs_of(tmp_path) == []
    assert maps_of(tmp_path) is None
    (tmp_path / "interests").mkdir()
    noted = pl.DataFrame({"epoch": [0, 1], "drift": [math.nan, 0.25], "live": [3.0, math.inf]})
    write_parquet(tmp_path / "interests" / "epochs.parquet", noted)
    assert epochs_of(tmp_path) == [
        {"epoch": 0, "drift": None, "live": 3.0},
        {"epoch": 1, "drift": 0.25, "live": None},
    ]
