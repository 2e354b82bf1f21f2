"""Small pictures that show the style of a demo item, as its image features do."""

from __future__ import annotations

import colorsys
import io
import math

from PIL import Image, ImageDraw

_SIDE = 120
_STRIPE = 15
_INK = 1
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Steps of it spread the colours of any number of styles."""


def style_picture(style: int, *, turn: float) -> bytes:
    """A PNG with the colours and the pattern of a style.

    Args:
        style: from 0.
        turn: in [0, 1), what tells items of one style apart.
    """
    hue = style * _GOLDEN % 1
    image = Image.new("P", (_SIDE, _SIDE))
    image.putpalette([*_colour(hue, 0.88), *_colour(hue, 0.35 + 0.25 * turn)])
    draw = _PATTERNS[style % len(_PATTERNS)]
    draw(ImageDraw.Draw(image), turn)
    content = io.BytesIO()
    image.save(content, "PNG", bits=1)
    return content.getvalue()


def _colour(hue: float, lightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def _stripes(draw: ImageDraw.ImageDraw, turn: float) -> None:
    slope = round(2 * _SIDE * (turn - 0.5))
    for left in range(-2 * _SIDE, 3 * _SIDE, 2 * _STRIPE):
        draw.line((left, 0, left + slope, _SIDE), fill=_INK, width=_STRIPE // 2)


def _dots(draw: ImageDraw.ImageDraw, turn: float) -> None:
    radius = 5 + 6 * turn
    for row in range(4):
        for column in range(4):
            x, y = (30 * place + 15 for place in (column, row))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_INK)


def _rings(draw: ImageDraw.ImageDraw, turn: float) -> None:
    x, y = _SIDE * (0.3 + 0.4 * turn), _SIDE * (0.7 - 0.4 * turn)
    for radius in range(10, 2 * _SIDE, 2 * _STRIPE):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_INK, width=8)


def _blades(draw: ImageDraw.ImageDraw, turn: float) -> None:
    center = _SIDE / 2
    for blade in range(6):
        angles = [(blade + turn + part) * math.tau / 6 for part in (0, 0.5)]
        corners = [(center + _SIDE * math.cos(a), center + _SIDE * math.sin(a)) for a in angles]
        draw.polygon([(center, center), *corners], fill=_INK)


_PATTERNS = (_stripes, _dots, _rings, _blades)
