from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from missrec.data.sources.amazon import AmazonFormat
from raw_amazon import metadata_2018, metadata_2023, review_2018, review_2023

CONF = Path(__file__).resolve().parents[3] / "conf" / "data"


def line_format(year: int) -> AmazonFormat:
    dump = OmegaConf.load(CONF / "_amazon_category.yaml").dumps[year]
    made: AmazonFormat = instantiate(dump.line_format, images_per_item=2, _convert_="all")
    return made


OLD, NEW = line_format(2018), line_format(2023)


def test_both_kinds_of_files_say_the_same_of_2018() -> None:
    review = json.dumps(review_2018("u", "a", 1_500_000_000))
    assert OLD.review(review) == OLD.rating("a,u,5.0,1500000000") == ("u", "a", 1_500_000_000)
    assert not OLD.is_header("a,u,5.0,1500000000")


def test_both_kinds_of_files_say_the_same_of_2023_in_milliseconds() -> None:
    review = json.dumps(review_2023("u", "a", 1_500_000_000))
    assert (
        NEW.review(review) == NEW.rating("u,a,5.0,1500000000000") == ("u", "a", 1_500_000_000_000)
    )
    assert NEW.is_header("user_id,parent_asin,rating,timestamp")


def test_item_of_2018_has_its_pictures_large_before_small() -> None:
    assert OLD.item(json.dumps(metadata_2018("a"))) == (
        "a",
        "Toy a & box. Toys Games. ACME.",
        ["http://high/a0", "http://low/a0", "http://high/a1", "http://low/a1"],
    )


def test_item_of_2018_may_have_small_pictures_alone() -> None:
    record = {"asin": "a", "title": "A", "image": ["http://x", "http://y", "http://z"]}
    assert OLD.item(json.dumps(record)) == ("a", "A.", ["http://x", "http://y"])


@pytest.mark.parametrize("image", ["http://x", 7, {"a": 1}, None, [None, 3, ""]])
def test_pictures_that_are_no_list_of_addresses_are_none(image: Any) -> None:
    record = {"asin": "a", "title": "A", "image": image}
    assert OLD.item(json.dumps(record)) == ("a", "A.", [])


def test_item_of_2023_has_its_pictures_large_before_small() -> None:
    assert NEW.item(json.dumps(metadata_2023("a"))) == (
        "a",
        "Toy a & box. Toys Games. ACME.",
        ["http://high/a0", "http://low/a0", "http://low/a1", "http://thumb/a1"],
    )


def test_item_of_2023_may_have_its_pictures_as_an_object_of_lists() -> None:
    record = metadata_2023("a")
    names = ("hi_res", "large", "thumb", "variant")
    record["images"] = {name: [one.get(name) for one in record["images"]] for name in names}
    item = NEW.item(json.dumps(record))
    assert item is not None
    assert item[2] == ["http://high/a0", "http://low/a0", "http://low/a1", "http://thumb/a1"]


@pytest.mark.parametrize(
    "images",
    [{"hi_res": None, "large": 7}, {}, {"large": ["n/a", None]}, [{"large": "http://\ud800"}], "x"],
)
def test_pictures_of_2023_that_have_no_address_are_none(images: Any) -> None:
    item = NEW.item(json.dumps({"parent_asin": "a", "title": "A", "images": images}))
    assert item == ("a", "A.", [])


@pytest.mark.parametrize("title", ["", "  ", None, float("nan"), [], [None]])
def test_item_without_title_is_none(title: str | None) -> None:
    assert OLD.item(json.dumps({"asin": "a", "title": title})) is None
    assert OLD.item(json.dumps({"asin": "a"})) is None


def test_title_of_markup_alone_leaves_the_rest_of_the_text() -> None:
    record = {
        "asin": "a",
        "title": '<span class="a-size"',
        "category": ["Magazines"],
        "brand": None,
    }
    assert OLD.item(json.dumps(record)) == ("a", "Magazines.", [])


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"asin": "a", "unixReviewTime": 1}, "has no reviewerID"),
        ({"reviewerID": "u", "unixReviewTime": 1}, "has no asin"),
        ({"reviewerID": "u", "asin": "a"}, "has no unixReviewTime"),
        (review_2018("", "a", 1), "reviewerID is missing"),
        (review_2018("u", "a\x00", 1), "asin holds a control character"),
        ({**review_2018("u", "a", 1), "unixReviewTime": "soon"}, "'soon' is no whole number"),
        ({**review_2018("u", "a", 1), "unixReviewTime": None}, "None is no whole number"),
        ({**review_2018("u", "a", 1), "unixReviewTime": float("inf")}, "inf is no whole number"),
        (review_2018("u", "a", 2**63), "unixReviewTime 9223372036854775808 is too large"),
        ({**review_2018("u", "a", 1), "asin": 7}, "asin is missing"),
        ([1], "is no JSON object"),
    ],
)
def test_review_that_says_too_little_is_refused(record: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OLD.review(json.dumps(record))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,u,5.0", "has 3 fields, expected asin,reviewerID,overall,unixReviewTime"),
        ("a,u,5.0,1,2", "has 5 fields"),
        ("", "has 1 fields"),
        ("a,,5.0,1", "reviewerID is missing"),
        ("a,u,5.0,1.5", "'1.5' is no whole number"),
        ("a,u\ufffd,5.0,1", "reviewerID holds bytes that are no UTF-8"),
    ],
)
def test_rating_that_says_too_little_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OLD.rating(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"asin": "a", "ti', "is no JSON: "),
        ("[" * 100_000, "is no JSON: "),
        ('{"title": "A"}', "has no asin"),
        ("7", "no JSON object"),
    ],
)
def test_item_that_says_too_little_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OLD.item(line)
