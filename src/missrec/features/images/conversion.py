"""Any decoded image as encoders read it: upright, on white, RGB with 8 bits a channel."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps

CONVERSION = "upright RGB on white"
"""Part of what image features depend on; another text here has them all encoded again."""


def as_rgb(image: Image.Image, *, bit_depth: int) -> Image.Image:
    """The image as people see it: turned as its EXIF says, transparency on white.

    Args:
        image: decoded, of any mode; it may be changed.
        bit_depth: bits a channel (PNG: or an index of the palette) in the file, 1 to 16.

    Returns:
        An image of mode `RGB`.
    """
    with suppress(Exception):  # EXIF that cannot be read, or written anew, spoils no picture
        ImageOps.exif_transpose(image, in_place=True)
    if "transparency" in image.info:
        image.info["transparency"] = _key_of_pixels(image, bit_depth)
    if image.mode.startswith("I;16"):
        image = _grey_of_8_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    colours = image.convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(colours, mask=colours)
    return page


def _key_of_pixels(image: Image.Image, bit_depth: int) -> int | tuple[int, ...] | bytes:
    """The colour that stands for "transparent", in the numbers of the decoded pixels.

    Pillow leaves it in those of the file, where grey may have 2, 4 or 16 bits and colour 16.
    """
    key: int | tuple[int, ...] | bytes = image.info["transparency"]
    if isinstance(key, tuple) and bit_depth == 16:
        return tuple(channel >> 8 for channel in key)
    if isinstance(key, int) and image.mode == "L" and key < 1 << bit_depth < 1 << 8:
        return key * 255 // ((1 << bit_depth) - 1)
    return key


def _grey_of_8_bits(image: Image.Image) -> Image.Image:
    """Its upper bytes, as Pillow takes them of 16-bit colour; of 16-bit grey it would clip."""
    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" in image.info:
        # Told apart by all 16 bits: another grey may share the upper ones.
        opaque = values != image.info["transparency"]
        grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey
