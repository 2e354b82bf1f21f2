"""Raw dumps in the layouts of Amazon 2018 and 2023, small enough to check by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CATEGORY = "Toys"
ITEMS = "abcdefgh"
DAY_SEC = 86_400
FULL = [
    (f"user{user}", item, 1_500_000_000 + DAY_SEC * (3 * user + place))
    for user in range(8)
    for place, item in enumerate((ITEMS * 2)[user : user + 6])
]
"""Eight users take six of the eight items each, beginning one item later each: a 5-core."""

REVIEWS = [
    *FULL,
    *(("casual", item, 1_500_000_000) for item in "abcd"),  # below five
    *((f"user{user}", "unlisted", 1_600_000_000) for user in range(8)),  # without metadata
    ("user0", "a", 1_600_000_001),  # again
]


def metadata_2018(item: str) -> dict[str, Any]:
    return {
        "asin": item,
        "title": f"Toy <b>{item}</b> &amp; box",
        "category": ["Toys", "Games"],
        "brand": "ACME",
        "imageURL": [f"http://low/{item}{n}" for n in range(3)],
        "imageURLHighRes": [f"http://high/{item}{n}" for n in range(3)],
    }


def metadata_2023(item: str) -> dict[str, Any]:
    return {
        "parent_asin": item,
        "title": f"Toy <b>{item}</b> &amp; box",
        "categories": ["Toys", "Games"],
        "store": "ACME",
        "images": [
            {"hi_res": f"http://high/{item}0", "large": f"http://low/{item}0", "variant": "MAIN"},
            {"hi_res": None, "large": f"http://low/{item}1", "thumb": f"http://thumb/{item}1"},
        ],
    }


def review_2018(user: str, item: str, time: int) -> dict[str, Any]:
    return {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": time}


def review_2023(user: str, item: str, time: int) -> dict[str, Any]:
    return {
        "user_id": user,
        "parent_asin": item,
        "asin": "x",
        "rating": 5,
        "timestamp": time * 1000,
    }


def json_lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def raw_files(year: int) -> dict[str, bytes]:
    """Path below the base URL -> content, of every kind of file."""
    if year == 2018:
        ratings = "".join(f"{item},{user},5.0,{time}\n" for user, item, time in REVIEWS)
        return {
            f"/categoryFilesSmall/{CATEGORY}.csv": ratings.encode(),
            f"/categoryFilesSmall/{CATEGORY}_5.json.gz": gzip.compress(
                json_lines(review_2018(*row) for row in REVIEWS)
            ),
            f"/metaFiles2/meta_{CATEGORY}.json.gz": gzip.compress(
                json_lines(map(metadata_2018, ITEMS))
            ),
        }
    header = "user_id,parent_asin,rating,timestamp\n"
    ratings = "".join(f"{user},{item},5.0,{time * 1000}\n" for user, item, time in REVIEWS)
    return {
        f"/benchmark/0core/rating_only/{CATEGORY}.csv.gz": gzip.compress(
            (header + ratings).encode()
        ),
        f"/raw/review_categories/{CATEGORY}.jsonl.gz": gzip.compress(
            json_lines(review_2023(*row) for row in REVIEWS)
        ),
        f"/raw/meta_categories/meta_{CATEGORY}.jsonl.gz": gzip.compress(
            json_lines(map(metadata_2023, ITEMS))
        ),
    }


def write_raw(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Puts files where a reader looks for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (folder / Path(path).name).write_bytes(content)
    return folder
