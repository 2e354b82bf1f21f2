from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_server import huge_png, image_bytes
from missrec.features.images.decoding import (
    MEDIA_TYPES,
    SUFFIX_OF_FORMAT,
    ImageRefusedError,
    decode_image,
    mark_placeholders,
)

PIXELS = 8 * 6
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoded_image_has_its_pixels(kind: str) -> None:
    image = decode_image(image_bytes(kind), max_pixels=PIXELS)
    assert (image.format, image.mode, image.size) == (kind, "RGB", (8, 6))
    red, green, blue = image.getpixel((3, 3))
    assert red > 250
    assert max(green, blue) < 5


def test_of_several_pictures_in_a_jpeg_the_first_is_taken() -> None:
    stream = io.BytesIO()
    second = Image.new("RGB", (8, 6), (0, 0, 255))
    Image.new("RGB", (8, 6), (255, 0, 0)).save(stream, "MPO", save_all=True, append_images=[second])
    for content in (stream.getvalue(), stream.getvalue()[:-300]):  # the second one may be cut
        image = decode_image(content, max_pixels=PIXELS)
        assert (image.format, image.size) == ("MPO", (8, 6))
        assert image.getpixel((3, 3))[0] > 250


def test_what_servers_are_asked_for_is_what_is_read() -> None:
    assert {f"image/{kind.lower()}" for kind in KINDS} == set(MEDIA_TYPES)
    assert set(SUFFIX_OF_FORMAT) == {*KINDS, "MPO"}


def photo(kind: str, **options: Any) -> bytes:
    """An image that differs from place to place, as in a photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((128, 96), Image.Resampling.BICUBIC).save(
        stream, kind, **options
    )
    return stream.getvalue()


JPEGS = [
    pytest.param({}, id="baseline"),
    pytest.param({"progressive": True}, id="progressive"),
    pytest.param({"optimize": True}, id="optimized"),
    pytest.param({"restart_marker_rows": 1}, id="restart in every row"),
    pytest.param({"restart_marker_blocks": 1}, id="restart in every block"),
]


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("options", JPEGS)
def test_jpeg_that_lacks_its_end_marker_is_whole(options: dict[str, Any], missing: int) -> None:
    content = photo("JPEG", **options)
    whole = decode_image(content, max_pixels=20_000)
    cut = decode_image(content[:-missing], max_pixels=20_000)
    assert cut.tobytes() == whole.tobytes()


@pytest.mark.parametrize("options", JPEGS)
def test_jpeg_that_is_cut_in_its_pixels_is_refused(options: dict[str, Any]) -> None:
    content = photo("JPEG", **options)
    for part in (0.2, 0.5, 0.75, 0.9, 0.97):
        with pytest.raises(ImageRefusedError, match="not_an_image"):
            decode_image(content[: int(len(content) * part)], max_pixels=20_000)


@pytest.mark.parametrize("missing", [1, 4, 11, 12])
def test_png_that_lacks_its_end_marker_is_whole(missing: int) -> None:
    content = photo("PNG")
    whole = decode_image(content, max_pixels=20_000)
    assert decode_image(content[:-missing], max_pixels=20_000).tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "AVIF", "MPO"])
def test_image_that_is_cut_in_its_pixels_is_refused(kind: str) -> None:
    content = photo(kind)
    for part in (0.1, 0.5, 0.9, 0.97):
        with pytest.raises(ImageRefusedError, match="not_an_image"):
            decode_image(content[: int(len(content) * part)], max_pixels=20_000)


def test_jpeg_that_lacks_its_end_marker_and_is_too_large_is_too_large() -> None:
    with pytest.raises(ImageRefusedError, match="too_many_pixels"):
        decode_image(photo("JPEG")[:-2], max_pixels=100)


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


@given(st.sampled_from([*KINDS, "MPO"]), st.data())
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
