from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import polars as pl
import pytest

from image_server import ImageServer, answer, image_bytes, image_fetcher, unmeasured
from missrec.features.images.urls import ImagesFromUrls

RED, GREEN = image_bytes(color=(255, 0, 0)), image_bytes(color=(0, 255, 0))
FETCHER = Path(__file__).parents[2] / "fetch_images.py"


def source(
    folder: Path, *, min_items: int = 10, max_urls: int = 3, retry: Sequence[str] | None = ()
) -> ImagesFromUrls:
    return ImagesFromUrls(
        cache_dir=str(folder),
        fetcher=image_fetcher(attempts=1, max_failures_of_host=5),
        max_urls_per_item=max_urls,
        retry=retry,
        placeholder_min_share=0.05,
        placeholder_min_items=min_items,
        show_progress=False,
    )


def items(urls: Sequence[Sequence[str] | None]) -> pl.DataFrame:
    """Items k1, k2, ... with these URLs."""
    columns = {"item_key": [f"k{item}" for item in range(1, len(urls) + 1)], "text": ""}
    frame = pl.DataFrame(columns).with_row_index("item_id", offset=1)
    return frame.with_columns(image_urls=pl.Series(urls, dtype=pl.List(pl.Utf8)))


def manifest(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "tiny" / "manifest.parquet")


def content(row: str | None) -> bytes | None:
    return row and Path(row).read_bytes()


def test_the_next_url_is_tried_where_one_fails(server: ImageServer, tmp_path: Path) -> None:
    server.answers = {"/red": answer(RED), "/green": answer(GREEN)}
    red, green, gone = (f"{server.url}/{name}" for name in ("red", "green", "gone"))
    found = source(tmp_path).find("tiny", items([[red, green], [gone, green], [gone], [], None]))
    assert found["item_id"].to_list() == [1, 2, 3, 4, 5]
    assert found["outcome"].to_list() == ["ok", "ok", "not_found", "no_image", "no_image"]
    assert [content(file) for file in found["input"]] == [RED, GREEN, None, None, None]
    assert sorted(server.requests) == ["/gone", "/green", "/red"]  # green once for two items


def test_no_more_urls_of_an_item_than_allowed(server: ImageServer, tmp_path: Path) -> None:
    server.answers["/red"] = answer(RED)
    urls = [f"{server.url}/{name}" for name in ("one", "two", "red")]
    assert source(tmp_path, max_urls=2).find("tiny", items([urls]))["outcome"][0] == "not_found"
    assert source(tmp_path, max_urls=3).find("tiny", items([urls]))["outcome"][0] == "ok"


def test_manifest_has_every_item_and_url_that_was_tried(
    server: ImageServer, tmp_path: Path
) -> None:
    server.answers["/red"] = answer(RED)
    red, gone = f"{server.url}/red", f"{server.url}/gone"
    source(tmp_path).find("tiny", items([[gone, red], [red, gone]]))
    rows = manifest(tmp_path)
    assert rows.select("item_key", "url", "outcome").rows() == [
        ("k1", gone, "not_found"),
        ("k1", red, "ok"),
        ("k2", red, "ok"),
    ]
    assert rows["bytes"].to_list() == [None, len(RED), len(RED)]
    assert rows["width"].to_list() == [None, 8, 8]
    assert rows["sha256"].n_unique() == rows["file"].n_unique() == 2


def test_a_second_run_asks_only_for_what_may_have_changed(
    server: ImageServer, tmp_path: Path
) -> None:
    server.answers = {
        "/red": answer(RED),
        "/tiff": answer(image_bytes("TIFF")),
        "/html": answer(b"<html>"),
        "/empty": answer(b""),
        "/cut": unmeasured(RED[:-20]),
        "/accepted": answer(status=202),
        "/nothing": answer(status=204),
        "/busy": answer(status=503),
    }
    paths = ["/gone", *server.answers]
    urls = items([[server.url + path] for path in paths])
    first = source(tmp_path).find("tiny", urls)["outcome"].to_list()
    assert first == [
        *("not_found", "ok", "not_an_image", "text_sent", "incomplete", "incomplete"),
        *["http_error"] * 3,
    ]
    server.requests.clear()
    server.answers |= dict.fromkeys(paths, answer(GREEN))
    again = source(tmp_path).find("tiny", urls)
    assert sorted(server.requests) == sorted(paths[3:])
    assert again["outcome"].to_list() == ["not_found", "ok", "not_an_image", *["ok"] * 6]
    server.requests.clear()
    assert source(tmp_path).find("tiny", urls).equals(again)
    assert server.requests == []


def test_host_that_answers_a_login_page_marks_no_catalogue(
    server: ImageServer, tmp_path: Path
) -> None:
    paths = [f"/{number}" for number in range(10)]  # more than max_failures_of_host
    urls = items([[server.url + path] for path in paths])
    server.answers = dict.fromkeys(paths, answer(b"<!doctype html><title>Log in</title>"))
    found = source(tmp_path).find("tiny", urls)
    assert found["outcome"].unique().to_list() == ["text_sent"]
    for number, path in enumerate(paths):
        server.answers[path] = answer(image_bytes(color=(number, 0, 0)))
    assert source(tmp_path).find("tiny", urls)["outcome"].unique().to_list() == ["ok"]


def old_record(folder: Path, rows: Sequence[tuple[str, str]]) -> None:
    """The manifest of a folder of before, which took anything for the server's last word."""
    (folder / "tiny").mkdir()
    table = pl.DataFrame(rows, schema=["url", "outcome"], orient="row")
    empty = dict.fromkeys(("file", "sha256"), pl.lit(None, dtype=pl.Utf8))
    empty |= dict.fromkeys(("bytes", "width", "height"), pl.lit(None, dtype=pl.Int64))
    table.with_columns(item_key=pl.lit("k"), **empty).write_parquet(
        folder / "tiny" / "manifest.parquet"
    )


@pytest.mark.parametrize(
    ("retry", "asked"),
    [
        ([], []),
        (["not_an_image"], ["/a", "/b"]),
        ("not_an_image", ["/a", "/b"]),  # as a command line may have it
        (["not_found"], ["/c"]),
        (["not_found", "not_an_image"], ["/a", "/b", "/c"]),
        (None, []),
        ("not_found", ["/c"]),
    ],
)
def test_final_outcomes_of_a_folder_of_before_are_asked_again_where_told_to(
    server: ImageServer, tmp_path: Path, retry: Sequence[str] | None, asked: list[str]
) -> None:
    before = {"/a": "not_an_image", "/b": "not_an_image", "/c": "not_found"}
    old_record(tmp_path, [(server.url + path, told) for path, told in before.items()])
    server.answers = dict.fromkeys(before, answer(GREEN))
    urls = items([[server.url + path] for path in before])
    found = source(tmp_path, retry=retry).find("tiny", urls)
    assert sorted(server.requests) == asked
    expected = ["ok" if path in asked else told for path, told in before.items()]
    assert found["outcome"].to_list() == expected
    # Once asked, what came stays.
    server.requests.clear()
    assert source(tmp_path).find("tiny", urls)["outcome"].to_list() == expected
    assert server.requests == []


def test_placeholders_are_asked_again_where_told_to(server: ImageServer, tmp_path: Path) -> None:
    paths = ["/a", "/b", "/c"]
    server.answers = dict.fromkeys(paths, answer(RED))  # "photo to follow"
    urls = items([[server.url + path] for path in paths])
    found = source(tmp_path, min_items=3).find("tiny", urls)
    assert found["outcome"].unique().to_list() == ["placeholder"]
    server.answers["/a"] = answer(GREEN)
    found = source(tmp_path, min_items=3, retry=["placeholder"]).find("tiny", urls)
    assert found["outcome"].to_list() == ["ok", "ok", "ok"]  # two alike are none
    assert content(found["input"][0]) == GREEN


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("010/a.jpg", "a_path"),
        ("a b.jpg", "a_path"),
        ("/srv/a.jpg", "a_path"),
        ("C:\\shop\\a.jpg", "a_path"),
        ("ftp://shop.test/a.jpg", "address_refused"),
        ("//shop.test/a.jpg", "address_refused"),
        ("data:image/png;base64,AA", "address_refused"),
    ],
)
def test_a_path_is_no_address(tmp_path: Path, url: str, outcome: str) -> None:
    for _ in range(2):
        found = source(tmp_path).find("tiny", items([[url]]))
        assert found["outcome"].to_list() == [outcome]
        assert manifest(tmp_path)["outcome"].to_list() == [outcome]


def test_an_image_that_is_had_comes_before_a_path(server: ImageServer, tmp_path: Path) -> None:
    server.answers["/red"] = answer(RED)
    red, gone = f"{server.url}/red", f"{server.url}/gone"
    found = source(tmp_path).find("tiny", items([["a.jpg", red], [gone, "a.jpg"]]))
    assert found["outcome"].to_list() == ["ok", "a_path"]


@pytest.mark.parametrize("retry", [["ok"], "timeout", ["not_found", "nothing"]])
def test_other_outcomes_to_retry_are_refused(tmp_path: Path, retry: Sequence[str]) -> None:
    with pytest.raises(
        ValueError, match=r"retry \(.*\) must be of not_found, not_an_image, placeh"
    ):
        source(tmp_path, retry=retry)


@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_damaged_file_is_fetched_again(server: ImageServer, tmp_path: Path, damage: str) -> None:
    server.answers["/red"] = answer(RED)
    urls = items([[f"{server.url}/red"]])
    file = Path(source(tmp_path).find("tiny", urls)["input"][0])
    if damage == "deleted":
        file.unlink()
    else:
        file.write_bytes(RED[:-1])
    source(tmp_path).find("tiny", urls)
    assert server.requests == ["/red"] * 2
    assert file.read_bytes() == RED


def test_placeholder_gives_way_to_the_next_url(server: ImageServer, tmp_path: Path) -> None:
    for number in range(3):
        server.answers[f"/{number}"] = answer(RED)
    server.answers["/green"] = answer(GREEN)
    urls = [[f"{server.url}/{number}"] for number in range(3)]
    urls[2].append(f"{server.url}/green")
    for _ in range(2):  # a second run comes to the same
        found = source(tmp_path, min_items=3).find("tiny", items(urls))
        assert found["outcome"].to_list() == ["placeholder", "placeholder", "ok"]
        assert content(found["input"][2]) == GREEN
        assert manifest(tmp_path)["outcome"].to_list() == ["placeholder"] * 3 + ["ok"]
    assert len(server.requests) == 4


def test_items_without_a_column_of_urls_have_no_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = source(tmp_path).find("tiny", items([[], []]).drop("image_urls"))
    assert found["outcome"].to_list() == ["no_image", "no_image"]
    assert "tiny: items.parquet has no image_urls" in caplog.text
    assert "so its items have no images" in caplog.text


def test_unreadable_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"manifest.parquet cannot be read .* delete it"):
        source(tmp_path).find("tiny", items([[]]))


@pytest.mark.slow
def test_killed_run_loses_only_the_file_in_flight(server: ImageServer, tmp_path: Path) -> None:
    asked, blocked = threading.Event(), threading.Event()

    def never(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        blocked.wait()

    paths = [f"/{number}" for number in range(5)]
    server.answers = {
        path: answer(image_bytes(color=(number, 0, 0))) for number, path in enumerate(paths)
    }
    server.answers["/3"] = never
    urls = items([[server.url + path] for path in [*paths, "/gone"]])
    urls.write_parquet(tmp_path / "items.parquet")
    command = [sys.executable, str(FETCHER), str(tmp_path)]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert asked.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    blocked.set()
    assert sorted(server.requests) == ["/0", "/1", "/2", "/3"]

    server.requests.clear()
    server.answers["/3"] = answer(image_bytes(color=(3, 0, 0)))
    with (tmp_path / "tiny" / "journal.jsonl").open("a") as journal:
        journal.write('["http://half a li')  # what a kill within a write leaves
    found = source(tmp_path).find("tiny", urls)
    assert sorted(server.requests) == ["/3", "/4", "/gone"]
    assert found["outcome"].to_list() == ["ok"] * 5 + ["not_found"]
    assert found["sha256"][:5].n_unique() == 5
    left = {path.name for path in (tmp_path / "tiny").iterdir() if path.suffix != ".png"}
    assert left == {"manifest.parquet"}
