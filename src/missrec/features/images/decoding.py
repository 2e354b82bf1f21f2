"""What counts as an image."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress

import polars as pl
from PIL import Image, features

from missrec.features.images.conversion import as_rgb
from missrec.features.inputs import OK

SUFFIX_OF_FORMAT = {
    "JPEG": ".jpg",
    "MPO": ".jpg",  # several JPEGs in one file, as phones write them
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
} | ({"AVIF": ".avif"} if features.check("avif") else {})  # Pillow can be built without it
"""Formats that are read. Pillow knows more, among them some that start other programs."""
IMAGE_SUFFIXES = frozenset({*SUFFIX_OF_FORMAT.values(), ".jpeg", ".jpe", ".jfif", ".mpo"})
"""What the names of their files end in, in lower case."""
_OPENED_AS = [name for name in SUFFIX_OF_FORMAT if name != "MPO"]  # a JPEG until it is open
MEDIA_TYPES = [f"image/{name.lower()}" for name in _OPENED_AS]

PLACEHOLDER, NO_IMAGE = "placeholder", "no_image"
NOT_AN_IMAGE, TOO_MANY_PIXELS = "not_an_image", "too_many_pixels"

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xae\x42\x60\x82"
_PNG_BIT_DEPTH = 24  # where it stands
_SOMETHING = bytes(range(1, 255, 7))
_MORE_JPEG = _SOMETHING + b"".join(bytes([0xFF, 0xD0 + n]) + _SOMETHING for n in range(8))
"""Anything, also where one of the eight restart markers is due."""

# Of metadata that is wrong; a user can do nothing about it.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Pillow only warns of an image between one and two times its own limit.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class ImageRefusedError(Exception):
    """A file that is not used as an image; `outcome` says why."""

    def __init__(self, outcome: str) -> None:
        """Keeps the outcome, `NOT_AN_IMAGE` or `TOO_MANY_PIXELS`."""
        super().__init__(outcome)
        self.outcome = outcome


def decode_image(content: bytes, *, max_pixels: int) -> Image.Image:
    """The image upright, on white, in sRGB; of an animation or several pictures the first.

    The size is read from the header and checked before any pixel is decoded. A JPEG or PNG that
    lacks nothing but its end marker is whole. The result's `format` is that of the file.

    Raises:
        ImageRefusedError: another format, malformed or cut, or larger than max_pixels.
    """
    try:
        image = _load_with_or_without_end(content, max_pixels)
        bit_depth = content[_PNG_BIT_DEPTH] if image.format == "PNG" else 8
        rgb = as_rgb(image, bit_depth=bit_depth)
    except ImageRefusedError:
        raise
    except Exception as error:  # decoders raise whatever a malformed byte leads to
        raise ImageRefusedError(NOT_AN_IMAGE) from error
    rgb.format = image.format
    return rgb


def _load_with_or_without_end(content: bytes, max_pixels: int) -> Image.Image:
    try:
        return _load(content, max_pixels)
    except ImageRefusedError:
        raise
    except Exception:
        return _load_without_end(content, max_pixels)


def _load(content: bytes, max_pixels: int) -> Image.Image:
    """The image as it is in the file; raises whatever its bytes lead to."""
    try:
        with Image.open(io.BytesIO(content), formats=_OPENED_AS) as image:
            if image.width * image.height > max_pixels:
                raise ImageRefusedError(TOO_MANY_PIXELS)
            image.verify()  # checksums, where the format has them; the image is spent afterwards
        image = Image.open(io.BytesIO(content), formats=_OPENED_AS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRefusedError(TOO_MANY_PIXELS) from error
    image.load()
    return image


def _load_without_end(content: bytes, max_pixels: int) -> Image.Image:
    """The image of a file to which nothing but its end marker, or a part of it, is lacking.

    Pillow can be told to read what is cut, but for the whole process and however much is missing.

    Raises:
        OSError: more is lacking, or it is another format; or whatever the bytes lead to.
    """
    if content.startswith(_JPEG):
        data = content.removesuffix(_JPEG_END[:1])
        image = _load(data + _JPEG_END, max_pixels)
        # The decoder makes up pixels that are missing, from whatever there is in their place.
        # What may go unnoticed: a few bytes of the last block, or a cut between two scans of a
        # progressive image, which is then whole, only coarser.
        other = _load(data + _MORE_JPEG + _JPEG_END, max_pixels)
        if image.tobytes() == other.tobytes():
            return image
    elif content.startswith(_PNG):
        for there in range(len(_PNG_END)):
            if content.endswith(_PNG_END[:there]):
                # The same bytes may have been the last of the pixels; the checksums tell.
                with suppress(Exception):
                    return _load(content + _PNG_END[there:], max_pixels)
    raise OSError("the image is cut")


def mark_placeholders(
    found: pl.DataFrame, *, min_share: float, min_items: int, num_items: int
) -> pl.DataFrame:
    """`found` with outcome `placeholder` where many items show the very same image.

    Args:
        found: columns `item_id`, `outcome`, `sha256`; an item may have several rows.
        min_share: a placeholder is on more than this share of the items,
        min_items: and on at least this many.
        num_items: N.
    """
    shown_on = pl.col("item_id").n_unique().over("sha256")
    many = (shown_on > min_share * num_items) & (shown_on >= min_items)
    outcome = pl.when(many & (pl.col("outcome") == OK)).then(pl.lit(PLACEHOLDER))
    return found.with_columns(outcome=outcome.otherwise("outcome"))
