"""What a run leaves in its folder of the interests that it found."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from conftest import OFFICE, Compose

from missrec.app.train import train

pytestmark = pytest.mark.slow


def found(tmp_path: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(tmp_path / "logs" / "run" / "interests" / f"{name}.parquet")


def test_a_run_describes_its_interests(compose_tiny: Compose, tmp_path: Path) -> None:
    train(compose_tiny("trainer.max_epochs=2"))
    tokens, interests = found(tmp_path, "tokens"), found(tmp_path, "interests")
    items = pl.read_parquet(tmp_path / "data" / "demo_office" / "items.parquet")
    assert tokens["modality"].value_counts().sort("count").rows() == [("image", 32), ("text", 40)]
    assert set(tokens["title"]) == set(items["text"])
    assert interests["size"].sum() == len(tokens)
    assert len(interests) == 36  # half of the tokens
    nearest = tokens.sort("distance").filter(interest=interests["interest"][0])
    assert interests["central_items"][0][0] == nearest["title"][0]
    epochs = found(tmp_path, "epochs")
    assert epochs["epoch"].to_list() == [0, 1]
    assert epochs["drift"][0] == 0 < epochs["drift"][1]
    assert epochs["alpha"][0] == pytest.approx(1.0) != epochs["alpha"][1]
    maps = found(tmp_path, "epoch_maps")
    assert maps["epoch"].unique().to_list() == [0, 1]
    in_epochs = maps.group_by("epoch", maintain_order=True).agg(
        pl.len(), pl.col("size").sum(), pl.col("x", "y").mean().round(5)
    )
    assert in_epochs["len"].to_list() == epochs["live"].to_list()
    assert in_epochs["size"].to_list() == [72, 72]  # each token has its interest
    assert in_epochs.row(0)[3:] == (0, 0)  # the plane is of the first epoch's prototypes
    assert (maps["text_share"] + maps["image_share"]).round(5).unique().to_list() == [1]
    pictures = {path.name for path in (tmp_path / "logs" / "run" / "interests").glob("*.png")}
    assert pictures == {"interests.png", "epochs.png"}


def test_a_resumed_run_keeps_its_epochs(compose_tiny: Compose, tmp_path: Path) -> None:
    train(compose_tiny("trainer.max_epochs=2"))
    first, maps = found(tmp_path, "epochs"), found(tmp_path, "epoch_maps")
    train(compose_tiny("trainer.max_epochs=3", f"resume={tmp_path / 'logs' / 'run'}"))
    epochs = found(tmp_path, "epochs")
    assert epochs["epoch"].to_list()[-1] == 2
    assert epochs["epoch"].is_unique().all()
    assert epochs.head(len(first)).equals(first)
    after = found(tmp_path, "epoch_maps")
    assert after["epoch"].to_list()[-1] == 2
    assert after.head(len(maps)).equals(maps)


def test_a_model_without_interests_has_none_to_describe(
    compose_tiny: Compose, tmp_path: Path
) -> None:
    sizes = [override for override in OFFICE if override.startswith("data.")]
    train(compose_tiny(base=("experiment=demo_most_popular", *sizes)))
    assert not (tmp_path / "logs" / "run" / "interests").exists()


def test_an_alpha_for_each_item_has_a_range(compose_tiny: Compose, tmp_path: Path) -> None:
    train(compose_tiny("trainer.max_epochs=2", "model/fusion=per_item"))
    last = found(tmp_path, "epochs").row(-1, named=True)
    assert last["alpha_lowest"] < last["alpha"] < last["alpha_highest"]
