"""What encoders see of a file: every mode, depth and orientation, by the values of its pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import ExifTags, Image

from image_server import png
from missrec.features.images.decoding import decode_image

BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)
PALETTE = {b"PLTE": bytes([*BLACK, *RED, *GREEN])}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def of_pixels(mode: str, pixels: Sequence[object]) -> Image.Image:
    image = Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    return image


def decoded(content: bytes) -> list[tuple[int, ...]]:
    image = decode_image(content, max_pixels=10_000)
    assert image.mode == "RGB"
    return [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()]


def shorts(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("hidden", [BLACK, GREEN], ids=["over black", "over green"])
def test_transparent_pixels_are_white(kind: str, hidden: tuple[int, int, int]) -> None:
    image = of_pixels("RGBA", [(*hidden, 0)] * 8 + [(*RED, 255)] * 8)
    options = {"PNG": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}[kind]
    pixels = decoded(encoded(image, kind, **options))
    # AVIF's colours run a little into the neighbours.
    assert np.abs(np.subtract(pixels[:6], WHITE)).max() <= 2
    assert np.abs(np.subtract(pixels[10:], RED)).max() <= 8


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (of_pixels("LA", [(0, 0), (100, 255)]), [WHITE, (100, 100, 100)]),
        (of_pixels("RGBA", [(255, 0, 0, 128)]), [(255, 127, 127)]),
        (of_pixels("LA", [(0, 51)]), [(204, 204, 204)]),
        (of_pixels("L", [0, 128, 255]), [BLACK, (128, 128, 128), WHITE]),
        (of_pixels("1", [0, 255]), [BLACK, WHITE]),
        (of_pixels("RGB", [RED, GREEN]), [RED, GREEN]),
        (of_pixels("RGB", [RED, GREEN]).quantize(2), [RED, GREEN]),
    ],
    ids=["LA", "half transparent", "a fifth of black", "grey", "1-bit", "colour", "palette"],
)
def test_every_mode_has_its_colours(
    image: Image.Image, expected: list[tuple[int, int, int]]
) -> None:
    assert decoded(encoded(image, "PNG")) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            png((4, 1), b"\0" + shorts(0, 0x4000, 0x8000, 0xFFFF), depth=16, colour_type=0),
            [BLACK, (64,) * 3, (128,) * 3, WHITE],
            id="grey",
        ),
        pytest.param(
            png(
                (3, 1),
                b"\0" + shorts(0x8000, 0x8001, 0x4000),
                depth=16,
                colour_type=0,
                chunks={b"tRNS": shorts(0x8000)},
            ),
            [WHITE, (128,) * 3, (64,) * 3],
            id="grey, one of them transparent",
        ),
        pytest.param(
            png((2, 1), b"\0" + shorts(0x4000, 0xFFFF, 0, 0), depth=16, colour_type=4),
            [(64,) * 3, WHITE],
            id="grey with alpha",
        ),
        pytest.param(
            png((1, 1), b"\0" + shorts(0xFFFF, 0x8000, 0), depth=16, colour_type=2),
            [(255, 128, 0)],
            id="colour",
        ),
        pytest.param(
            png(
                (2, 1),
                b"\0" + shorts(0x8000, 0x4000, 0, 0xFFFF, 0, 0),
                depth=16,
                colour_type=2,
                chunks={b"tRNS": shorts(0x8000, 0x4000, 0)},
            ),
            [WHITE, RED],
            id="colour, one of them transparent",
        ),
        pytest.param(
            png(
                (2, 1), b"\0" + shorts(*(0, 0, 0, 0), 0xFFFF, 0, 0, 0xFFFF), depth=16, colour_type=6
            ),
            [WHITE, RED],
            id="colour with alpha",
        ),
    ],
)
def test_16_bits_are_scaled_to_8(content: bytes, expected: list[tuple[int, int, int]]) -> None:
    assert decoded(content) == expected


@pytest.mark.parametrize(
    ("depth", "pixels", "key", "expected"),
    [
        (8, bytes([10, 20]), 10, [WHITE, (20,) * 3]),
        (4, bytes([0x5F]), 5, [WHITE, WHITE]),
        (4, bytes([0x5F]), 15, [(85,) * 3, WHITE]),
        (2, bytes([0b00_01_0000]), 1, [BLACK, WHITE]),
        (1, bytes([0b01_000000]), 0, [WHITE, WHITE]),
    ],
)
def test_the_transparent_grey_of_a_png_is_white(
    depth: int, pixels: bytes, key: int, expected: list[tuple[int, int, int]]
) -> None:
    chunks = {b"tRNS": shorts(key)}
    assert (
        decoded(png((2, 1), b"\0" + pixels, depth=depth, colour_type=0, chunks=chunks)) == expected
    )


def test_the_transparent_colour_of_a_png_is_white() -> None:
    content = b"\0" + bytes([*RED, *GREEN])
    chunks = {b"tRNS": shorts(0, 255, 0)}
    assert decoded(png((2, 1), content, depth=8, colour_type=2, chunks=chunks)) == [RED, WHITE]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({}, [BLACK, RED, GREEN]),
        ({b"tRNS": bytes([0])}, [WHITE, RED, GREEN]),
        ({b"tRNS": bytes([255, 0])}, [BLACK, WHITE, GREEN]),
        ({b"tRNS": bytes([0, 51, 255])}, [WHITE, (255, 204, 204), GREEN]),
    ],
    ids=["opaque", "one index", "another index", "a degree for each"],
)
def test_a_palette_has_its_colours(
    chunks: dict[bytes, bytes], expected: list[tuple[int, int, int]]
) -> None:
    content = png((3, 1), b"\0\0\1\2", depth=8, colour_type=3, chunks=PALETTE | chunks)
    assert decoded(content) == expected


def test_the_transparent_index_of_a_gif_is_white() -> None:
    image = of_pixels("P", [0, 1])
    image.putpalette([*RED, *GREEN])
    assert decoded(encoded(image, "GIF")) == [RED, GREEN]
    assert decoded(encoded(image, "GIF", transparency=1)) == [RED, WHITE]


def test_the_first_picture_of_an_animation_is_taken() -> None:
    first, second = Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), GREEN)
    for kind in ("GIF", "PNG", "WEBP"):
        content = encoded(first, kind, save_all=True, append_images=[second])
        assert np.abs(np.subtract(decoded(content)[0], RED)).max() <= 3


@pytest.mark.parametrize(
    ("ink", "expected"),
    [((0, 255, 255, 0), RED), ((0, 0, 0, 255), BLACK), ((0, 0, 0, 0), WHITE)],
)
def test_printed_colours_are_those_of_the_screen(
    ink: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    pixel = decoded(encoded(Image.new("CMYK", (8, 8), ink), "JPEG", quality=100))[0]
    assert np.abs(np.subtract(pixel, expected)).max() <= 3


def fixed(value: float) -> bytes:
    """A number as profiles have it."""
    return struct.pack(">i", round(value * 65536))


SRGB_OF_D50 = {
    "r": (0.4361, 0.2225, 0.0139),
    "g": (0.3851, 0.7169, 0.0971),
    "b": (0.1431, 0.0606, 0.7141),
}
"""Primaries of sRGB as profiles have them, in XYZ under the light D50."""


def profile(space: str, tags: dict[str, bytes], *, pcs: str = "XYZ ") -> bytes:
    """An ICC profile, version 2: its header, the table of its tags, and these."""
    white = b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249)
    text = b"text\0\0\0\0none\0\0\0\0"
    tags = {"wtpt": white, "cprt": text, **tags}
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI", start + len(body), b"lcms", 0x02400000)
    header += b"mntr" + space.encode() + pcs.encode() + bytes(12) + b"acsp" + bytes(28)
    return (header + white[8:]).ljust(128, b"\0") + table + body


def gamma(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)


def of_primaries(red: str, green: str, blue: str, *, exponent: float = 2.2) -> bytes:
    """A profile in which each channel has the colour of one of sRGB's."""
    named = zip("rgb", (red, green, blue), strict=True)
    tags = {
        f"{name}XYZ": b"XYZ \0\0\0\0" + b"".join(map(fixed, SRGB_OF_D50[as_in]))
        for name, as_in in named
    }
    return profile("RGB ", {**tags, **{f"{name}TRC": gamma(exponent) for name in "rgb"}})


def of_ink() -> bytes:
    """A profile in which any ink, however full, is black."""
    lab = np.zeros((16, 3), dtype=np.uint8) + np.uint8([0, 128, 128])
    lab[0, 0] = 255  # without ink
    ramp = bytes(range(256))
    head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(map(fixed, np.eye(3).ravel()))
    return profile("CMYK", {"A2B0": head + ramp * 4 + lab.tobytes() + ramp * 3}, pcs="Lab ")


SWAPPED = of_primaries("b", "g", "r")
LINEAR = of_primaries("r", "g", "b", exponent=1)
LINEAR_GREY = profile("GRAY", {"kTRC": gamma(1)})


def on_screen(linear: float) -> int:
    """A share of the light as a value of sRGB."""
    return round(255 * (1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize(
    ("image", "profile", "expected"),
    [
        (of_pixels("RGB", [RED, GREEN]), SWAPPED, [(0, 0, 255), GREEN]),
        (
            of_pixels("RGB", [(64, 128, 255)]),
            LINEAR,
            [tuple(map(on_screen, (64 / 255, 128 / 255, 1)))],
        ),
        (of_pixels("RGB", [RED, GREEN]).quantize(2), SWAPPED, [(0, 0, 255), GREEN]),
        (of_pixels("RGBA", [(*RED, 255), (*RED, 0)]), SWAPPED, [(0, 0, 255), WHITE]),
        (of_pixels("L", [64]), LINEAR, [(on_screen(64 / 255),) * 3]),
        (of_pixels("L", [64]), LINEAR_GREY, [(on_screen(64 / 255),) * 3]),
        (of_pixels("LA", [(64, 255), (64, 0)]), LINEAR_GREY, [(on_screen(64 / 255),) * 3, WHITE]),
        (of_pixels("RGB", [RED, GREEN]), LINEAR_GREY, [RED, GREEN]),  # of other colours
        (of_pixels("RGB", [RED, GREEN]), b"no profile", [RED, GREEN]),
        (of_pixels("RGB", [RED, GREEN]), SWAPPED[:200], [RED, GREEN]),
    ],
)
def test_colours_are_those_that_a_profile_means(
    image: Image.Image, profile: bytes, expected: list[tuple[int, int, int]]
) -> None:
    found = decoded(encoded(image, "PNG", icc_profile=profile))
    assert np.abs(np.subtract(found, expected)).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "MPO"])
def test_every_format_has_the_colours_of_its_profile(kind: str) -> None:
    image = Image.new("RGB", (16, 8), (200, 128, 0))
    pixel = decoded(encoded(image, kind, icc_profile=SWAPPED, quality=95))[0]
    assert np.abs(np.subtract(pixel, (0, 128, 200))).max() <= 6


def test_ink_is_that_of_its_profile() -> None:
    image = of_pixels("CMYK", [(0, 0, 0, 0)] * 8 + [(0, 255, 255, 0)] * 8)
    pixels = decoded(encoded(image, "JPEG", quality=100, icc_profile=of_ink()))
    assert np.abs(np.subtract([pixels[0], pixels[-1]], [WHITE, BLACK])).max() <= 6


UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
AS_STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}
"""EXIF's orientation -> the rows that are then in the file."""


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


@pytest.mark.parametrize("orientation", AS_STORED)
@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "P", "I;16"])
def test_an_image_is_turned_as_its_exif_says(mode: str, orientation: int) -> None:
    stored = Image.fromarray(np.ascontiguousarray(AS_STORED[orientation]))
    if mode == "P":
        stored = stored.convert("P")  # a palette of greys
    elif mode == "I;16":
        stored = Image.fromarray(np.asarray(stored).astype(np.uint16) << 8)
    else:
        stored = stored.convert(mode)
    assert stored.mode == mode
    image = decode_image(encoded(stored, "PNG", exif=exif(orientation)), max_pixels=10)
    assert np.asarray(image)[..., 0].tolist() == UPRIGHT.tolist()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "MPO"])
def test_every_format_with_exif_is_turned(kind: str) -> None:
    content = encoded(Image.new("RGB", (16, 8)), kind, exif=exif(6))
    assert decode_image(content, max_pixels=1_000).size == (8, 16)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(b"Exif\0\0" + b"garbage", id="no EXIF"),
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", id="cut"),
        pytest.param(exif(9).tobytes(), id="no such orientation"),
        pytest.param(exif(0).tobytes(), id="orientation unknown"),
    ],
)
def test_wrong_exif_spoils_no_picture(metadata: bytes) -> None:
    content = encoded(Image.new("RGB", (16, 8), RED), "PNG", exif=metadata)
    image = decode_image(content, max_pixels=1_000)
    assert (image.size, image.getpixel((0, 0))) == ((16, 8), RED)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(struct.pack(">HHI4s", 0x011A, 2, 4, b"abc"), id="a resolution of letters"),
        pytest.param(struct.pack(">HHIi", 0x0100, 9, 1, -5), id="a negative width"),
        pytest.param(struct.pack(">HHIf", 0x011A, 11, 1, float("nan")), id="not a number"),
    ],
)
def test_exif_that_pillow_cannot_write_anew_turns_the_image_all_the_same(entry: bytes) -> None:
    turned = struct.pack(">HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0)
    tags = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + turned + entry + bytes(4)
    stored = encoded(Image.new("RGB", (16, 8)), "PNG", exif=tags)
    assert decode_image(stored, max_pixels=1_000).size == (8, 16)
