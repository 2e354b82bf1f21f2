"""Own delimited text whose dialect is doubtful: stray quotes, delimiters, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shop import Orders, Shop

ANN = {"ann": ["0", "1", "2", "3", "4"]}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def noted(delimiter: str, notes: dict[int, str], *, place: int = 2, num_rows: int = 5) -> str:
    """Clicks of one user, with a column of notes."""
    rows = [["who", "what"], *(["ann", str(item)] for item in range(num_rows))]
    for number, row in enumerate(rows, start=-1):
        row.insert(place, "note" if number < 0 else notes.get(number, "mid"))
    return "".join(f"{delimiter.join(row)}\n" for row in rows)


def read(shop: Shop, content: str, name: str = "b.csv", **changes: Any) -> Orders:
    return shop.read_clicks(content, name, items=None, time=None, **changes)


@pytest.mark.parametrize("delimiter", [";", "|", ",", "\t"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_stray_quote_takes_no_row_with_it(shop: Shop, delimiter: str, place: int) -> None:
    content = noted(delimiter, {1: '"x', 3: 'y"'}, place=place)
    assert read(shop, content, max_share=0.5) == {"ann": ["0", "2", "3", "4"]}
    assert shop.rejects()[0][:2] == ("b.csv", 3)
    assert "closes 2 lines below, each a row" in shop.rejects()[0][2]
    assert read(shop, content, quoting="none") == ANN


def test_a_stray_quote_takes_no_row_of_items_with_it(shop: Shop) -> None:
    shop.write("p.txt", 'sku|name\n1|"open\n2|x\n3|close"\n')
    of_items = {"texts": ["name"], "images": []}
    shop.write("c.csv", "who,what,when\nann,2,1\nann,3,2\nann,2,3\n")
    prepared = shop.read("c.csv", items="p.txt", of_items=of_items, max_share=0.5)
    assert prepared.item_keys == ["2", "3"]


def test_a_stray_quote_in_a_header_refuses_the_file(shop: Shop) -> None:
    with pytest.raises(ValueError, match=r"b.csv, line 1: a double quote opens there and closes 2"):
        read(shop, noted(";", {1: 'x"'}).replace("note", '"note'))


@pytest.mark.parametrize(
    ("delimiter", "note"),
    [
        (";", '"x\ny; z"'),
        (";", '"x\n\ny"'),
        (",", '"x, blue\nblack, red"'),
        (",", '"x\nblack, 2, red"'),
        (",", '"x\na list, of, three"'),
        ("|", '"a\nb\nc"'),
    ],
)
def test_a_quoted_note_of_several_lines_is_one_row(shop: Shop, delimiter: str, note: str) -> None:
    assert read(shop, noted(delimiter, {1: note, 2: note})) == ANN


def test_a_quoted_text_with_as_many_commas_as_a_row_is_text(shop: Shop) -> None:
    shop.write("p.csv", 'sku,name\nA1,"Ink, blue\nblack, red"\nA2,Pad\n')
    shop.write("c.csv", "who,what,when\nann,A1,1\nann,A2,2\nann,A1,3\n")
    prepared = shop.read("c.csv", items="p.csv", of_items={"texts": ["name"], "images": []})
    assert prepared.item_texts == ["Ink, blue black, red.", "Pad."]


def test_a_row_over_lines_that_may_be_rows_is_told(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    content = noted(",", {1: '"x', 3: 'y"'}).replace("ann,2", "ann,B2")
    assert read(shop, content) == {"ann": ["0", "1", "4"]}
    assert "b.csv: 1 rows go over lines that may be rows themselves, the first is 3" in caplog.text


MOVIES = [["1", "Toy, Story (1995)", "Animation|Children's|Comedy"], ["2", "Smith: X", "Drama"]]


@pytest.mark.parametrize("name", ["m.dat", "m.txt", "m.csv"])
@pytest.mark.parametrize(
    ("delimiter", "rows"),
    [
        ("::", [MOVIES[0]]),
        ("\t", [MOVIES[0]]),
        ("::", MOVIES),
        ("::", [["1", "Smith, John"], ["2", "Cher, A"]]),
        ("\t", [["1", "Smith, John"], ["2", "Cher, A"]]),
        (";", [["1", "Smith, John"], ["2", "Cher, A"]]),
        ("|", [["1", "Smith, John"], ["2", "Cher, A"]]),
        (";", [["1", "Smith,John"], ["2", "Cher"]]),
        (",", [["1", "A|B"], ["2", "C"]]),
        (",", [["1", "John Smith"], ["2", "A Cher"]]),
        (",", [["1", '"Smith, John"'], ["2", "Cher;A"]]),
        (",", [["1", '"Big\nred; one"'], ["2", "Cher;A"]]),
    ],
)
def test_the_delimiter_is_what_divides_the_first_lines(
    shop: Shop, name: str, delimiter: str, rows: list[list[str]]
) -> None:
    shop.write(name, "".join(f"{delimiter.join(row)}\n" for row in rows))
    clicks = "who,what,when\nann,1,1\nann,2,2\nann,1,3\n"
    shop.write("c.csv", clicks if len(rows) > 1 else clicks.replace(",2,", ",1,"))
    columns = ["sku", "name", "genres"][: len(rows[0])]
    of_items = {"texts": ["name"], "images": [], "columns": columns}
    prepared = shop.read("c.csv", items=name, of_items=of_items)
    texts = [row[1].strip('"').replace("\n", " ") + "." for row in rows]
    assert (prepared.item_keys, prepared.item_texts) == ([row[0] for row in rows], texts)


@pytest.mark.parametrize(
    ("first", "rows", "is_told"),
    [
        ("userId,movieId", ["ann,1", "ann,2", "ann,3"], True),
        ("user id,product", ["ann,p1", "ann,p2", "ann,p3"], True),
        ("item,user", ["ann,1", "ann,2", "ann,3"], True),
        ("ann,pen", ["ann,ink", "ann,pad", "ann,pin"], False),
        ("ann,7", ["ann,1", "ann,2", "ann,3"], False),
    ],
)
def test_a_header_of_other_names_is_told(
    shop: Shop, caplog: pytest.LogCaptureFixture, first: str, rows: list[str], is_told: bool
) -> None:
    found = read(shop, "\n".join([first, *rows]) + "\n", columns=["who", "what"])
    assert found["ann"][-3:] == [row.split(",")[1] for row in rows]
    said = f"the first line looks like names of columns, but is read as a row: '{first}'"
    assert (said in caplog.text) is is_told


@pytest.mark.parametrize("first", ["Who,WHAT", '"who","what"', "who:token,what:token"])
def test_a_header_of_the_names_that_are_told_is_one(shop: Shop, first: str) -> None:
    content = f"{first}\nann,0\nann,1\nann,2\nann,3\nann,4\n"
    assert read(shop, content, columns=["who", "what"]) == ANN


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        ("who,what,what\nann,1,2\n", {}),
        ("who,what, what \nann,1,2\n", {}),
        ("what:token,who:token,who:float\nann,1,2\n", {}),
        ("ann,1,2\n", {"columns": ["who", "what", "what"]}),
    ],
)
def test_a_column_whose_name_occurs_twice_is_refused(
    shop: Shop, content: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"b.csv has 2 columns of the name '(who|what)'"):
        read(shop, content, **changes)


def test_names_that_are_not_wanted_may_occur_twice(shop: Shop) -> None:
    content = "".join(f"ann,{item},7,8\n" for item in range(5))
    assert read(shop, "who,what,x,x\n" + content) == ANN


@pytest.mark.parametrize("delimiter", ["::", ";", "|", "\t", ","])
def test_what_a_header_has_instead_is_told_name_by_name(shop: Shop, delimiter: str) -> None:
    content = f"user id{delimiter}item\nann{delimiter}1\n"
    with pytest.raises(ValueError, match=r"b.csv has no column 'who', it has: user id, item;"):
        read(shop, content)
