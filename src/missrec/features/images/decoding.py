"""What counts as an image, and the images of items from a folder."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import polars as pl
from PIL import Image

from missrec.features.inputs import INPUT_SCHEMA, OK

SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}
"""Formats that are read. Pillow knows more, among them some that start other programs."""

PLACEHOLDER, NO_IMAGE = "placeholder", "no_image"
NOT_AN_IMAGE, TOO_MANY_PIXELS = "not_an_image", "too_many_pixels"

# Pillow only warns of an image between one and two times its own limit.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class ImageRefusedError(Exception):
    """A file that is not used as an image; `outcome` says why."""

    def __init__(self, outcome: str) -> None:
        """Keeps the outcome, `NOT_AN_IMAGE` or `TOO_MANY_PIXELS`."""
        super().__init__(outcome)
        self.outcome = outcome


def decode_image(content: bytes, *, max_pixels: int) -> Image.Image:
    """The decoded image; of an animation the first frame.

    The size is read from the header and checked before any pixel is decoded.

    Raises:
        ImageRefusedError: another format, malformed or cut, or larger than max_pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=list(SUFFIX_OF_FORMAT)) as image:
            if image.width * image.height > max_pixels:
                raise ImageRefusedError(TOO_MANY_PIXELS)
            image.verify()  # checksums, where the format has them; the image is spent afterwards
        image = Image.open(io.BytesIO(content), formats=list(SUFFIX_OF_FORMAT))
        image.load()
    except ImageRefusedError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRefusedError(TOO_MANY_PIXELS) from error
    except Exception as error:  # decoders raise whatever a malformed byte leads to
        raise ImageRefusedError(NOT_AN_IMAGE) from error
    return image


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


class ImagesFromFolder:
    """Files that are named by the item's key, with any image suffix."""

    def __init__(
        self, *, folder: str | None, placeholder_min_share: float, placeholder_min_items: int
    ) -> None:
        """Keeps the settings.

        Args:
            folder: where the files are, directly; `<item_key>.jpg` and so on.
            placeholder_min_share: see `mark_placeholders`.
            placeholder_min_items: see `mark_placeholders`.

        Raises:
            FileNotFoundError: no such folder.
        """
        if folder is None or not Path(folder).is_dir():
            raise FileNotFoundError(
                f"folder ({folder}) is not a folder; it must be the one with the images"
            )
        self._folder = Path(folder)
        self._min_share = placeholder_min_share
        self._min_items = placeholder_min_items

    def find(self, domain: str, items: pl.DataFrame) -> pl.DataFrame:
        """The files there are; whether they can be decoded shows when they are encoded."""
        suffixes = {*SUFFIX_OF_FORMAT.values(), ".jpeg"}
        # Listed, not looked up: a key such as ../x names no file of the folder.
        files = {
            path.stem: path
            for path in sorted(self._folder.iterdir(), reverse=True)
            if path.suffix.lower() in suffixes
        }
        rows: list[tuple[int, str, str | None, str | None]] = []
        for item_id, key in items.select("item_id", "item_key").iter_rows():
            path = files.get(key)
            if path is None:
                rows.append((item_id, NO_IMAGE, None, None))
            else:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                rows.append((item_id, OK, str(path), digest))
        return mark_placeholders(
            _found(rows),
            min_share=self._min_share,
            min_items=self._min_items,
            num_items=len(items),
        )


def _found(rows: list[tuple[int, str, str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=INPUT_SCHEMA, orient="row")
