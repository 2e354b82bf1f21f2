from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from image_server import image_bytes
from missrec.data.sources.addresses import is_image_file
from missrec.features.images import folder as folder_module
from missrec.features.images.decoding import IMAGE_SUFFIXES
from missrec.features.images.folder import ImagesFromFolder


def folder_source(
    folder: Path, *, min_share: float = 0.05, min_items: int = 10
) -> ImagesFromFolder:
    return ImagesFromFolder(
        folder=str(folder), placeholder_min_share=min_share, placeholder_min_items=min_items
    )


def items(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"item_key": keys, "text": ""}).with_row_index("item_id", offset=1)


def items_with_paths(*paths: Sequence[str] | None) -> pl.DataFrame:
    """Items k1, k2, ... that name these files."""
    columns = items(*(f"k{number}" for number in range(1, len(paths) + 1)))
    return columns.with_columns(image_urls=pl.Series(paths, dtype=pl.List(pl.Utf8)))


def write(folder: Path, *names: str) -> None:
    """Files that hold their own name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def contents(found: pl.DataFrame) -> list[str | None]:
    return [path and Path(path).read_text() for path in found["input"]]


def test_folder_gives_items_the_file_of_their_key(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"content of a")
    (tmp_path / "b.JPEG").write_bytes(b"content of b")
    (tmp_path / "c.txt").write_bytes(b"no image")
    found = folder_source(tmp_path).find("tiny", items("b", "a", "c", "d"))
    assert found["item_id"].to_list() == [1, 2, 3, 4]
    assert found["outcome"].to_list() == ["ok", "ok", "no_image", "no_image"]
    assert found["input"].to_list()[:2] == [str(tmp_path / "b.JPEG"), str(tmp_path / "a.jpg")]
    assert found["sha256"].n_unique() == 3  # a, b and none


def test_key_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(image_bytes())
    (tmp_path / "images").mkdir()
    keys = ("../outside", str(tmp_path / "outside"), "", ".")
    found = folder_source(tmp_path / "images").find("tiny", items(*keys))
    assert found["outcome"].unique().to_list() == ["no_image"]


def test_folder_has_placeholders_too(tmp_path: Path) -> None:
    for key in "abc":
        (tmp_path / f"{key}.png").write_bytes(b"same")
    found = folder_source(tmp_path, min_items=3).find("tiny", items("a", "b", "c"))
    assert found["outcome"].to_list() == ["placeholder"] * 3


@pytest.mark.parametrize("name", ["nowhere", None])
def test_missing_folder_is_refused(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"^folder \(.*\) is not a folder"):
        folder_source(name and tmp_path / name)


def test_files_are_found_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "010/0108775015.jpg", "011/0110065001.jpg", "by/brand/12/x.webp", "top.png")
    found = folder_source(tmp_path).find("tiny", items("0110065001", "x", "0108775015", "top", "y"))
    assert contents(found) == [
        "011/0110065001.jpg",
        "by/brand/12/x.webp",
        "010/0108775015.jpg",
        "top.png",
        None,
    ]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["b/c/k.jpg", "z/k.png"], "z/k.png"),
        (["b/k.jpg", "a/k.png"], "a/k.png"),
        (["k.png", "k.jpg"], "k.jpg"),
        (["a/k.jpg", "k.webp", "b/k.jpg"], "k.webp"),
    ],
    ids=["fewer folders", "first folder", "first suffix", "three"],
)
def test_of_several_files_of_a_key_the_same_is_always_taken_and_said(
    tmp_path: Path, names: list[str], taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, *names)
    assert contents(folder_source(tmp_path).find("tiny", items("k"))) == [taken]
    assert f"{len(names) - 1} images have the name of another one" in caplog.text
    assert f"{taken} is, not " in caplog.text


def test_paths_that_an_item_names_come_first(tmp_path: Path) -> None:
    write(tmp_path, "k1.jpg", "k4.jpg", "k5.jpg", "010/a.jpg", "010/b.jpg")
    named = items_with_paths(
        ["010/a.jpg"],
        ["010/gone.jpg", "./010/b.jpg"],
        ["010\\a.jpg"],
        ["https://shop.test/k4.jpg"],
        None,
        ["010"],
        ["010/gone.jpg"],
    )
    assert contents(folder_source(tmp_path).find("tiny", named)) == [
        "010/a.jpg",
        "010/b.jpg",
        "010/a.jpg",
        "k4.jpg",
        "k5.jpg",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([["tree/d/nine.jpeg"], ["a.jpg"]], "1 files that items name are not in {}, such as tree/"),
        ([["d%20e/six.jpg"], ["a.jpg"]], "1 files that items name are not in {}, such as d%20e/"),
        ([["x.jpg", "y.jpg"], ["x.jpg", "a.jpg"]], "2 files that items name are not in {}"),
        ([["https://shop.test/x.jpg"], ["a.jpg", "x.jpg"]], ""),
        ([None, [None, "", "a.jpg"]], ""),
    ],
)
def test_files_that_are_named_and_not_there_are_told_once(
    tmp_path: Path,
    paths: Sequence[Sequence[str] | None],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path, "a.jpg", "d/nine.jpeg", "d e/six.jpg")
    found = folder_source(tmp_path).find("tiny", items_with_paths(*paths))
    assert found["outcome"].to_list() == ["no_image", "ok"]
    assert len(caplog.records) == bool(said)
    assert said.format(tmp_path) in caplog.text


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_each_suffix_of_an_image_is_one_of_the_folder(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a{suffix.upper()}")
    assert folder_source(tmp_path).find("tiny", items("a"))["outcome"].to_list() == ["ok"]


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "secret.jpg", "images/a.jpg")
    folder = tmp_path / "images"
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    outside = str(tmp_path / "secret.jpg")
    paths = ["../secret.jpg", outside, "a.jpg/../../secret.jpg", "link.jpg", "\0", "x" * 5_000]
    found = folder_source(folder).find("tiny", items_with_paths(*([path] for path in paths)))
    assert found["outcome"].unique().to_list() == ["no_image"]


def test_links_out_of_the_folder_are_not_followed_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "elsewhere/a.jpg", "elsewhere/b.jpg", "images/real/d.jpg")
    folder = tmp_path / "images"
    (folder / "a.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "c.jpg").symlink_to(folder / "real" / "d.jpg")
    (folder / "e.jpg").symlink_to(folder / "e.jpg")
    found = folder_source(folder).find("tiny", items("a", "b", "c", "d", "e"))
    assert contents(found) == [None, None, "images/real/d.jpg", "images/real/d.jpg", None]
    assert "3 links lead out of the folder" in caplog.text  # a circle leads nowhere


def test_folder_that_is_a_link_itself_is_read(tmp_path: Path) -> None:
    write(tmp_path, "disk/010/a.jpg")
    (tmp_path / "images").symlink_to(tmp_path / "disk")
    found = folder_source(tmp_path / "images").find("tiny", items("a"))
    assert contents(found) == ["disk/010/a.jpg"]


def test_what_is_no_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    found = folder_source(tmp_path).find("tiny", items("folder", "pipe", "broken"))
    assert found["outcome"].unique().to_list() == ["no_image"]


def test_file_that_cannot_be_read_is_an_outcome_of_its_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.jpg", "b.jpg")

    def refuse(path: Path) -> str:
        if path.name == "a.jpg":
            raise PermissionError(path)
        return "digest"

    monkeypatch.setattr(folder_module, "sha256", refuse)
    found = folder_source(tmp_path).find("tiny", items("a", "b"))
    assert found["outcome"].to_list() == ["unreadable", "ok"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (items("108775015"), "108775015.*"),
        (items_with_paths(["images/010/0108775015.jpg"]), "images/010/0108775015.jpg or k1.*"),
    ],
    ids=["key", "path"],
)
def test_folder_of_other_names_is_told_with_an_example_of_each_side(
    tmp_path: Path, wanted: pl.DataFrame, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "010/0108775015.jpg")
    folder_source(tmp_path).find("tiny", wanted)
    assert f"tiny: no item has an image in {tmp_path}: the first would be {said}" in caplog.text
    assert "a file there is 010/0108775015.jpg" in caplog.text
    caplog.clear()
    folder_source(tmp_path).find("tiny", items("x", "0108775015"))
    folder_source(tmp_path).find("tiny", items())
    assert not caplog.text


@pytest.mark.parametrize("suffix", [*sorted(IMAGE_SUFFIXES), ".tif"])
def test_a_table_of_items_names_the_files_that_a_folder_reads(suffix: str) -> None:
    assert is_image_file(f"010/0108775015{suffix}") == (suffix in IMAGE_SUFFIXES)
