from __future__ import annotations

import contextlib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_server import huge_png, image_bytes
from missrec.features.images.decoding import (
    ImageRefusedError,
    ImagesFromFolder,
    decode_image,
    mark_placeholders,
)

PIXELS = 8 * 6


def folder_source(
    folder: Path, *, min_share: float = 0.05, min_items: int = 10
) -> ImagesFromFolder:
    return ImagesFromFolder(
        folder=str(folder), placeholder_min_share=min_share, placeholder_min_items=min_items
    )


def items(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"item_key": keys, "text": ""}).with_row_index("item_id", offset=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_decoded_image_has_its_pixels(kind: str) -> None:
    image = decode_image(image_bytes(kind), max_pixels=PIXELS)
    assert (image.format, image.size) == (kind, (8, 6))
    red, green, blue = image.convert("RGB").getpixel((3, 3))
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Not Found</html>", id="html"),
        pytest.param(image_bytes("JPEG", size=(64, 64))[:-100], id="cut JPEG"),
        pytest.param(image_bytes("PNG")[:-20], id="cut PNG"),
        pytest.param(image_bytes("TIFF"), id="format that is not read"),
        pytest.param(image_bytes("PPM"), id="another such format"),
        pytest.param(huge_png(8, 6), id="PNG without its pixels"),
    ],
)
def test_what_does_not_decode_is_not_an_image(content: bytes) -> None:
    with pytest.raises(ImageRefusedError, match="not_an_image"):
        decode_image(content, max_pixels=10_000)


def test_changed_byte_of_a_png_is_noticed() -> None:
    content = bytearray(image_bytes("PNG"))
    content[content.index(b"IDAT") + 6] ^= 1
    with pytest.raises(ImageRefusedError, match="not_an_image"):
        decode_image(bytes(content), max_pixels=PIXELS)


@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]), st.data())
def test_damaged_image_is_decoded_or_refused_and_nothing_else(
    kind: str, data: st.DataObject
) -> None:
    content = bytearray(image_bytes(kind))
    places = st.lists(st.integers(0, len(content) - 1), max_size=4)
    for place in data.draw(places):
        content[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    with contextlib.suppress(ImageRefusedError):
        image = decode_image(bytes(content[:end]), max_pixels=10_000)
        assert image.width * image.height <= 10_000


@pytest.mark.parametrize(
    "size", [(7, 7), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)]
)
def test_claimed_size_is_refused_before_anything_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ImageRefusedError, match="too_many_pixels"):
        decode_image(huge_png(*size), max_pixels=PIXELS)


@pytest.mark.parametrize(("num_shared", "outcome"), [(2, "ok"), (3, "placeholder")])
def test_placeholder_needs_enough_items(num_shared: int, outcome: str) -> None:
    digests = ["same"] * num_shared + [f"own {item}" for item in range(10 - num_shared)]
    found = pl.DataFrame({"outcome": "ok", "sha256": digests}).with_row_index("item_id", offset=1)
    marked = mark_placeholders(found, min_share=0.1, min_items=3, num_items=10)
    assert marked["outcome"].to_list() == [outcome] * num_shared + ["ok"] * (10 - num_shared)


def test_placeholder_needs_more_than_its_share_of_the_items() -> None:
    found = pl.DataFrame({"item_id": [1, 2, 3], "outcome": "ok", "sha256": "same"})
    for num_items, outcome in [(29, "placeholder"), (30, "ok")]:
        marked = mark_placeholders(found, min_share=0.1, min_items=3, num_items=num_items)
        assert marked["outcome"].unique().to_list() == [outcome]


def test_one_item_with_an_image_many_times_and_items_without_one_are_no_placeholder() -> None:
    found = pl.DataFrame(
        {
            "item_id": [1, 1, 1, 2, 3, 4],
            "outcome": ["ok"] * 3 + ["timeout"] * 3,
            "sha256": ["same"] * 3 + [None] * 3,
        }
    )
    assert mark_placeholders(found, min_share=0, min_items=2, num_items=4).equals(found)


def test_folder_gives_items_the_file_of_their_key(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"content of a")
    (tmp_path / "b.JPEG").write_bytes(b"content of b")
    (tmp_path / "c.txt").write_bytes(b"no image")
    found = folder_source(tmp_path).find("tiny", items("b", "a", "c", "d"))
    assert found["item_id"].to_list() == [1, 2, 3, 4]
    assert found["outcome"].to_list() == ["ok", "ok", "no_image", "no_image"]
    assert found["input"].to_list()[:2] == [str(tmp_path / "b.JPEG"), str(tmp_path / "a.jpg")]
    assert found["sha256"].n_unique() == 3  # a, b and none


def test_key_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(image_bytes())
    (tmp_path / "images").mkdir()
    keys = ("../outside", str(tmp_path / "outside"), "", ".")
    found = folder_source(tmp_path / "images").find("tiny", items(*keys))
    assert found["outcome"].unique().to_list() == ["no_image"]


def test_folder_has_placeholders_too(tmp_path: Path) -> None:
    for key in "abc":
        (tmp_path / f"{key}.png").write_bytes(b"same")
    found = folder_source(tmp_path, min_items=3).find("tiny", items("a", "b", "c"))
    assert found["outcome"].to_list() == ["placeholder"] * 3


@pytest.mark.parametrize("name", ["nowhere", None])
def test_missing_folder_is_refused(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"^folder \(.*\) is not a folder"):
        folder_source(name and tmp_path / name)
