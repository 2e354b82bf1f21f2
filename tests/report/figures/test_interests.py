from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

import missrec.report.figures.interests as pictures
from missrec.report.figures.interests import (
    epochs_figure,
    interest_table,
    interests_figure,
    interests_of_items,
)

TOKENS = pl.DataFrame(
    [
        (4, "text", "Pen", 0.3),
        (4, "image", "Pen", 0.1),
        (4, "text", "Ink", 0.2),
        (4, "text", "Nib", 0.2),
        (1, "image", "Tea", 0.0),
    ],
    schema=["interest", "modality", "title", "distance"],
    orient="row",
)
PNG = b"\x89PNG"


def table(*, num_central: int = 10, tokens: pl.DataFrame = TOKENS) -> pl.DataFrame:
    return interest_table(
        tokens, modalities=["text", "image"], num_interests=6, num_central=num_central
    )


def test_interests_come_by_size_with_the_share_of_each_modality_and_the_dead_last() -> None:
    rows = table().select("interest", "size", "text_share", "image_share").rows()
    assert rows[:2] == [(4, 4, 0.75, 0.25), (1, 1, 0.0, 1.0)]
    assert rows[2:] == [(dead, 0, None, None) for dead in (0, 2, 3, 5)]


def test_central_items_are_the_nearest_each_once_and_ties_keep_their_order() -> None:
    central = dict(table().select("interest", "central_items").rows())
    assert central == {4: ["Pen", "Ink", "Nib"], 1: ["Tea"], 0: [], 2: [], 3: [], 5: []}
    assert table(num_central=2)["central_items"][0].to_list() == ["Pen", "Ink"]


def test_a_long_title_is_cut() -> None:
    tokens = TOKENS.with_columns(pl.col("title") + "x" * 200)
    assert max(len(title) for title in table(tokens=tokens)["central_items"][0]) == 80


@pytest.mark.parametrize("modalities", [["text", "image"], ["text"]])
def test_the_figure_is_written_for_any_number_of_modalities(
    tmp_path: Path, modalities: list[str]
) -> None:
    interests_figure(tmp_path / "a.png", table(), modalities=modalities)
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_the_figure_names_the_largest_interests_by_their_most_central_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []

    def draw(figure: Figure, *_: object, **__: object) -> None:
        ticks = figure.axes[1].get_yticklabels()
        drawn.append([text.get_text() for text in ticks] + [figure.axes[2].get_title()])

    monkeypatch.setattr(Figure, "savefig", draw)
    monkeypatch.setattr(pictures, "written_whole", nullcontext)
    interests_figure(tmp_path / "a.png", table(), modalities=["text", "image"])
    assert drawn[0][:2] == ["4: Pen", "1: Tea"]
    assert drawn[0][-1] == "1 interest holds more than one modality"


def test_the_figure_of_a_single_interest_and_a_single_epoch_is_written(tmp_path: Path) -> None:
    interests_figure(tmp_path / "a.png", table(tokens=TOKENS.tail(1)), modalities=["text", "image"])
    epoch = {"epoch": 0, "live": 1.0, "drift": float("nan")}
    alphas = {"alpha": 1.0, "alpha_lowest": 0.5, "alpha_highest": 2.0}
    epochs_figure(tmp_path / "b.png", pl.DataFrame([epoch | alphas]))
    assert all((tmp_path / name).read_bytes().startswith(PNG) for name in ("a.png", "b.png"))


def test_items_are_shown_whose_modalities_lead_to_different_well_shared_interests() -> None:
    pairs = {"a": (1, 2), "b": (1, 1), "c": (3, 4), "d": (3, 2), "e": (5, 6)}
    sizes = {1: 9, 2: 8, 3: 7, 4: 5, 5: 50, 6: 1}
    tokens = pl.DataFrame(
        [
            ("toys", key, key.upper() * 100, modality, interest)
            for key, interests in pairs.items()
            for modality, interest in zip(("text", "image"), interests, strict=True)
        ],
        schema=["domain", "item_key", "title", "modality", "interest"],
        orient="row",
    )
    interests = pl.DataFrame(
        {
            "interest": list(sizes),
            "size": list(sizes.values()),
            "central_items": [[f"near {i}"] for i in sizes],
        }
    )
    found = interests_of_items(tokens, interests, num_items=3)
    # a: smallest 8; d: 7, but interest 2 is shown; c: 5; e: 1; b has one interest for both
    assert [item.title for item in found] == ["A" * 80, "C" * 80, "E" * 80]
    assert {name: own[:2] for name, own in found[0].by_modality.items()} == {
        "text": (1, 9),
        "image": (2, 8),
    }
    assert found[0].by_modality["image"].central == ("near 2",)
    only_text = tokens.filter(pl.col("modality") == "text")
    assert interests_of_items(only_text, interests, num_items=3) == []
