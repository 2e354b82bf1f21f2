from __future__ import annotations

from pathlib import Path

import pytest

from missrec.serving.pictures import Pictures


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "toys").mkdir(parents=True)
    (folder / "toys" / "a.png").write_bytes(b"inside")
    (tmp_path / "outside.png").write_bytes(b"outside")
    (tmp_path / "images2").mkdir()
    (tmp_path / "images2" / "a.png").write_bytes(b"beside")
    return folder


def test_a_picture_inside_is_given(images: Path) -> None:
    found = Pictures(images, {"a": images / "toys" / "a.png"}).of("a")
    assert found is not None
    assert (found.path.read_bytes(), found.media_type) == (b"inside", "image/png")


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("x.JPG", "image/jpeg"), ("x.jpe", "image/jpeg"), ("x.webp", "image/webp")],
)
def test_the_type_goes_by_the_suffix(images: Path, name: str, media_type: str) -> None:
    (images / name).write_bytes(b"any")
    found = Pictures(images, {"a": images / name}).of("a")
    assert found is not None
    assert found.media_type == media_type


@pytest.mark.parametrize(
    "path",
    [
        "../outside.png",
        "toys/../../outside.png",
        "../images2/a.png",  # begins with the same letters
        "toys",
        "gone.png",
        "a_link.png",
        "a_circle.png",
        "a_page.html",
        "a_drawing.svg",  # may hold scripts
    ],
)
def test_nothing_else_is_given(images: Path, path: str) -> None:
    (images / "a_link.png").symlink_to(images.parent / "outside.png")
    (images / "a_circle.png").symlink_to("a_circle.png")
    for name in ("a_page.html", "a_drawing.svg"):
        (images / name).write_text("marker")
    assert Pictures(images, {"a": images / path}).of("a") is None
    assert Pictures(images, {"a": (images / path).absolute()}).of("a") is None


def test_a_link_within_the_folder_is_followed(images: Path) -> None:
    (images / "link.png").symlink_to("toys/a.png")
    assert Pictures(images, {"a": images / "link.png"}).of("a") is not None


@pytest.mark.parametrize("key", ["../outside.png", "toys/a.png", "", ".", "b", "\0"])
def test_no_path_is_made_of_a_key(images: Path, key: str) -> None:
    assert Pictures(images, {"a": images / "toys" / "a.png"}).of(key) is None
    assert key not in Pictures(images, {"a": images / "toys" / "a.png"})


def test_without_a_folder_there_are_no_pictures(images: Path) -> None:
    assert len(Pictures()) == 0
    assert Pictures().of("a") is None
    assert Pictures(None, {"a": images / "toys" / "a.png"}).of("a") is None
