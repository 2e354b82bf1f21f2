"""A service of the toys with interests, pictures and titles and keys that look like markup."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from missrec.data.sources.demo_pictures import style_picture
from missrec.retrieval.catalogue import CatalogueItems
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.exploring import Explorer
from missrec.serving.pictures import Pictures
from toy_recommender import FIRST_ID, KEYS, ToyInterests, toy_features, toy_recommender

EPOCHS = [
    {"epoch": 0, "live": 3, "drift": None, "alpha": 1.0},
    {"epoch": 1, "live": 2, "drift": 0.25, "alpha": 1.5},
]
MAPS = pl.DataFrame(
    {
        "epoch": [0, 0, 1],
        "interest": [2, 0, 1],
        "size": [5, 3, 8],
        "x": [0.0, 1.0, 0.5],
        "y": [0.0, -1.0, 0.5],
        "text_share": [1.0, 0.0, 0.5],
        "image_share": [0.0, 1.0, 0.5],
    }
)
MARKUP = [
    "<b id=marked>bold</b>",
    "<img src=/marked onerror=\"document.title='marked'\">",
    "\"><script>document.title='marked'</script>",
    "&lt;i&gt; ${document.title} {{7*7}} javascript:document.title='marked'",
    "\u202eright to left\u202c \u0000\t' onmouseover='document.title=1",
]
PATHS = ["../../outside.png", "<b>.png", "a/b?c=d&e#f", "%2e%2e%2foutside", "\\..\\ .."]


def toys_with_interests() -> CatalogueRecommender:
    return toy_recommender(ToyInterests(), features=toy_features())


def marked_recommender() -> CatalogueRecommender:
    """Titles are `MARKUP`, keys are `PATHS`."""
    items = CatalogueItems(
        domain="toys", keys=pl.Series(PATHS), titles=pl.Series(MARKUP), first_id=FIRST_ID
    )
    return toy_recommender(ToyInterests(), items=items)


def toy_explorer(
    folder: Path, recommender: CatalogueRecommender, keys: list[str] = KEYS
) -> Explorer:
    """Of the first two keys there are pictures; of the third one the file is outside."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, key in enumerate(keys[:2]):
        files[key] = images / f"{number}.png"
        files[key].write_bytes(style_picture(number, turn=0.5))
    outside = folder / "outside.png"
    outside.write_bytes(style_picture(5, turn=0.5))
    return Explorer(
        recommender,
        pictures=Pictures(images, files | {keys[2]: outside}),
        epochs=EPOCHS,
        maps=MAPS,
    )
