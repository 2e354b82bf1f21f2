"""Any decoded image as encoders read it: upright, on white, sRGB with 8 bits a channel."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms, ImageOps

CONVERSION = "upright sRGB on white"
"""Part of what image features depend on; another text here has them all encoded again."""

_MODES = {
    "GRAY": ("L", "LA", "1"),
    "RGB": ("RGB", "RGBA", "P", "PA", "L", "LA", "1"),
    "CMYK": ("CMYK",),
}
"""Colours that a profile is of -> modes of its images; they are read in the first."""


def as_rgb(image: Image.Image, *, bit_depth: int) -> Image.Image:
    """The image as people see it: turned as its EXIF says, in sRGB, transparency on white.

    Args:
        image: decoded, of any mode; it may be changed.
        bit_depth: bits a channel (PNG: or an index of the palette) in the file, 1 to 16.

    Returns:
        An image of mode `RGB`.
    """
    profile = image.info.get("icc_profile")
    with suppress(Exception):  # EXIF that cannot be read, or written anew, spoils no picture
        ImageOps.exif_transpose(image, in_place=True)
    if "transparency" in image.info:
        image.info["transparency"] = _key_of_pixels(image, bit_depth)
    if image.mode.startswith("I;16"):
        image = _grey_of_8_bits(image)
    is_opaque = not image.has_transparency_data
    if not is_opaque:
        image = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
    colours = image.convert("RGB")
    if profile:
        with suppress(Exception):  # nor does a profile that cannot be read, or is of other colours
            colours = _in_srgb(image, profile)
    if is_opaque:
        return colours
    page = Image.new("RGB", image.size, "white")
    page.paste(colours, mask=image.getchannel("A"))
    return page


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours of an image, without its transparency, as a screen shows them.

    Raises:
        Exception: the profile cannot be read, or is not of such an image.
    """
    described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = described.profile.xcolor_space.strip()
    if image.mode not in _MODES[space]:
        raise ValueError(f"a profile of {space} colours, of an image in {image.mode}")
    plain, screen = image.convert(_MODES[space][0]), ImageCms.createProfile("sRGB")
    shown = ImageCms.profileToProfile(plain, described, screen, outputMode="RGB")
    assert shown is not None  # it is not made in place
    return shown


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
