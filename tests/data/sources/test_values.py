"""Cells that are no plain text: bytes, lists, objects, nothing, and addresses of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from missrec.data.sources.addresses import read_addresses
from missrec.data.sources.values import plain_text
from shop import BY_TIME, Shop, sequences


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Café", "Café"),
        ("Café".encode(), "Café"),
        (None, ""),
        (float("nan"), ""),
        ([["Toys", ["Games", None]], [float("nan")], ["Chess"]], "Toys Games Chess"),
        (["Toys", "Games"], "Toys Games"),
        ({"Brand": "HP", "Colors": ["Black", "Red"], "Size": None}, "HP Black Red"),
        ([{"name": "Toys"}, {"name": b"Games"}], "Toys Games"),
        (7, "7"),
        (7.5, "7.5"),
        ([], ""),
        ({}, ""),
    ],
)
def test_a_cell_is_a_text(value: Any, text: str) -> None:
    assert plain_text(value) == text


def test_lists_deeper_than_python_goes_are_a_text() -> None:
    deep: Any = "Chess"
    for _ in range(100_000):
        deep = [deep]
    assert plain_text(deep) == "Chess"


HTTP = ["http://x/1.jpg", "http://x/2.jpg"]
FILES = ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("http://x/1.jpg", HTTP[:1]),
        (" HTTPS://X/1 ", ["HTTPS://X/1"]),
        ("http://x/a b,c.jpg", ["http://x/a b,c.jpg"]),
        ("http://x/1.jpg|http://x/2.jpg", HTTP),
        ("http://x/1.jpg, http://x/2.jpg", HTTP),
        ("http://x/1.jpg http://x/2.jpg", HTTP),
        ("a.jpg|b.jpg", FILES),
        ("a.jpg; b.jpg", FILES),
        ("a, b.jpg", ["a, b.jpg"]),
        ("['a.jpg', 'b.jpg']", FILES),
        ('["a.jpg", "b.jpg"]', FILES),
        ("['a.jpg' 'b.jpg']", FILES),
        ("[a.jpg, b.jpg]", FILES),
        ("('http://x/1.jpg', 'http://x/2.jpg')", HTTP),
        ("{'http://x/1.jpg', 'http://x/2.jpg'}", HTTP),
        ('{"http://x/1.jpg","http://x/2.jpg"}', HTTP),
        ("{http://x/1.jpg,http://x/2.jpg}", HTTP),
        ("{a.jpg,b.jpg}", FILES),
        ("b'http://x/1.jpg'", HTTP[:1]),
        ("http:\\/\\/x\\/1.jpg", HTTP[:1]),
        ("[{'large': 'http://x/1.jpg', 'hi_res': None}]", HTTP[:1]),
        ('{"large": "http://x/1.jpg", "variant": "MAIN"}', HTTP[:1]),
        (["http://x/1.jpg", None, ["http://x/2.jpg"]], HTTP),
        ([{"large": "http://x/1.jpg"}, {"large": "http://x/2.jpg", "width": 5}], HTTP),
        ({"thumb": "http://x/2.jpg", "large": "http://x/1.jpg"}, HTTP),
        (
            {"thumb": ["http://x/2.jpg", "http://y/2.jpg"], "hi_res": ["http://x/1.jpg", None]},
            [*HTTP, "http://y/2.jpg"],
        ),
        ({"primary": "http://x/1.jpg", "gallery": ["http://x/2.jpg"]}, HTTP),
        ({"gallery": ["http://x/2.jpg"], "primary": "http://x/1.jpg", "n": [1]}, HTTP),
        ({"url": "http://x/1.jpg", "tags": []}, HTTP[:1]),
        ({"url": "http://x/1.jpg", "tags": ["front"]}, HTTP[:1]),
        ({"alt": "Blue", "all": HTTP}, HTTP),
        ({"images": [{"url": "http://x/1.jpg", "tags": ["a"]}, {"url": "http://x/2.jpg"}]}, HTTP),
        ({"images": [{"thumb": "http://x/2.jpg", "large": "http://x/1.jpg"}]}, HTTP),
        ('{"url": "http://x/1.jpg", "tags": ["front"]}', HTTP[:1]),
        ({"large": HTTP, "variant": ["MAIN", "PT01"], "hi_res": [None, None]}, HTTP),
        ("\\N", []),
        ("nan", []),
        (b"http://x/1.jpg", HTTP[:1]),
        ("010/0108775015.jpg", ["010/0108775015.jpg"]),
        ("sub folder\\b.PNG", ["sub folder\\b.PNG"]),
        (None, []),
        (float("nan"), []),
        ("  ", []),
        ("[]", []),
        ({}, []),
        ({"large": None}, []),
    ],
)
def test_a_cell_names_addresses_and_files(cell: Any, kept: list[str]) -> None:
    assert read_addresses(cell) == (kept, [])


@pytest.mark.parametrize(
    "cell",
    [
        "n/a",
        "ftp://x/1.jpg",
        "file:///x/1.jpg",
        "data:image/png;base64,AAAA",
        "/abs/1.jpg",
        "../1.jpg",
        "a/../../1.jpg",
        "C:\\1.jpg",
        "//x/1.jpg",
        "<http://x/1.jpg",
        "http://",
        "http:///1.jpg",
        "http://x/\ud83d.jpg",
        "http://x/\x00.jpg",
        "b\n.jpg",
        "1",
        "www.shop.com/a.jpg",
        "cdn.shop.com/p/4.jpg",
        "WWW.shop/a.jpg",
        "shop.co.uk:8080/a.jpg",
    ],
)
def test_what_is_neither_is_refused(cell: str) -> None:
    assert read_addresses(cell) == ([], [cell])


@pytest.mark.parametrize("cell", [7, {"variant": "MAIN"}, "{'a': nan}", "[{'a'}", "['a'] * 9"])
def test_what_holds_no_address_is_refused(cell: Any) -> None:
    found = read_addresses(cell)
    assert found.kept == []
    assert len(found.refused) == 1


@pytest.mark.parametrize(
    "file", ["www.jpg", "shop.com.jpg", "v1.2/a.jpg", "p/shop.com/a.jpg", "wwwroot/a.jpg"]
)
def test_files_whose_folder_is_no_host_are_files(file: str) -> None:
    assert read_addresses(file) == ([file], [])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("['Toys', 'Games']", "Toys Games."),
        ('["Toys", "Games"]', "Toys Games."),
        ("['Toys' \"Men's\"]", "Toys Men's."),
        ("['Toys', nan]", "Toys."),
        ("('Toys', 'Games')", "Toys Games."),
        ("('Toys', 1995)", "Toys 1995."),
        ('{"Arts & Crafts",Toys}', "{Arts & Crafts,Toys}."),
        ('{"Arts & Crafts","Toys"}', "Arts & Crafts Toys."),
        (r"b'Caf\xc3\xa9'", "Café."),
        (r'b"Ann\'s Caf\xc3\xa9"', "Ann's Café."),
        ("(Deluxe)", "(Deluxe)."),
        ("('til) Pen (Large)", "('til) Pen (Large)."),
        ("b'ball", "b'ball."),
        ("b'x' and b'y'", "b'x' and b'y'."),
        ("[['Toys', 'Games'], ['Chess']]", "Toys Games Chess."),
        ("[{'id': 16, 'name': 'Animation'}]", "16 Animation."),
        ('{"en": "Pen", "fr": null}', "Pen."),
        ("[]", ""),
        ("{}", ""),
        ("\\N", ""),
        ("nan", ""),
        ("NULL", ""),
        ("[REC]", "[REC]."),
        ("[2019]", "[2019]."),
        ("['til] Pen [Large]", "['til] Pen [Large]."),
        ("['a'] * 9", "['a'] * 9."),
        ("Null", "Null."),
    ],
)
def test_lists_written_as_a_text_and_nulls_are_read_as_such(
    shop: Shop, cell: str, text: str
) -> None:
    table = {"sku": ["1", "2", "3"], "name": [cell, "Ink", "Pad"], "photo": [None] * 3}
    pl.DataFrame(table, schema_overrides={"photo": pl.String}).write_csv(shop.folder / "p.csv")
    prepared = shop.read(items="p.csv", of_items={"texts": ["name"]})
    assert prepared.item_texts[0] == text


@pytest.mark.parametrize("address", ["cdn.shop.com/p/4.jpg", "//cdn.shop.com/p/4.jpg"])
def test_a_host_without_its_beginning_is_said(
    shop: Shop, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    rows = f"1,Pen,{address}\n2,Ink,p/4.jpg\n3,Pad,\n"
    shop.write("p.csv", f"sku,name,photo\n{rows}")
    shop.read(items="p.csv", of_items={"texts": ["name"]})
    assert "begins with a host: write https://cdn.shop.com/p/4.jpg)" in caplog.text


def test_one_good_address_among_others_is_kept_and_the_others_are_listed(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    products = [
        {"sku": 1, "name": "Pen", "photo": ["http://1", "n/a", "http://\ud83d"]},
        {"sku": 2, "name": ["Ink", ["black"]], "photo": {"large": "http://2", "variant": "MAIN"}},
        {"sku": 3, "name": {"en": "Pad", "fr": float("nan")}, "photo": "a.jpg|b.jpg"},
    ]
    shop.write("p.jsonl", "".join(f"{json.dumps(row)}\n" for row in products))
    prepared = shop.read(items="p.jsonl", of_items={"texts": ["name"]})
    assert sequences(prepared) == BY_TIME
    assert prepared.item_texts == ["Pen.", "Ink black.", "Pad."]
    assert prepared.image_urls is not None
    assert prepared.image_urls.to_list() == [["http://1"], ["http://2"], ["a.jpg", "b.jpg"]]
    ((file, line, reason, _),) = shop.rejects()
    assert (file, line) == ("p.jsonl", 1)
    assert reason.startswith("no address and no image file: photo 'n/a', photo 'http://")
    assert reason in caplog.text
    assert prepared.settings["rejected_rows"] == 0


def test_bytes_lists_and_structs_of_parquet_are_texts(shop: Shop) -> None:
    table = {
        "sku": [b"1", b"2", b"3"],
        "name": ["Café".encode(), "Thé".encode(), b"Pad"],
        "about": [[["a"], ["b", None]], [["c"]], None],
        "photo": [{"large": "http://1"}, {"large": None}, {"large": "http://3"}],
    }
    pl.DataFrame(table).write_parquet(shop.folder / "p.parquet")
    prepared = shop.read(items="p.parquet")
    assert sequences(prepared) == BY_TIME
    assert prepared.item_texts == ["Café. a b.", "Thé. c.", "Pad."]
    assert prepared.image_urls is not None
    assert prepared.image_urls.to_list() == [["http://1"], [], ["http://3"]]
