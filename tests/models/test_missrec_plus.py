from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from missrec.app.model import build
from missrec.types import has_item_vectors
from synthetic import NUM_ITEMS, SEQUENCES, catalogue, sequence_batch

CONF = Path(__file__).parents[2] / "conf"
ALL_ITEMS = torch.arange(1, NUM_ITEMS + 1)
BATCH = sequence_batch([[1, 2, 3], [5], [4, 2]], [4, 6, 1])


def build_model(name: str, *changes: str) -> Any:
    overrides = [f"model={name}", "inputs=text_image", "transfer=transductive", *changes]
    if name != "item_knn":
        overrides.append("model.embed_dim=8")
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    torch.manual_seed(1)
    return build(cfg, "model", catalogue=catalogue(SEQUENCES, num_items=NUM_ITEMS)).eval()


def scores(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.score(model.encode(BATCH), model.candidates(ALL_ITEMS))
    return found


def test_the_score_is_that_of_the_voters_plus_the_weighted_one_of_the_neighbors() -> None:
    both, voters = build_model("missrec_plus", "model.neighbors_weight=0.7"), build_model("voters")
    expected = scores(voters) + 0.7 * scores(build_model("item_knn"))
    torch.testing.assert_close(scores(both), expected)
    both.freeze_items()
    torch.testing.assert_close(scores(both), expected)


def test_the_voters_learn_as_they_do_alone() -> None:
    both, voters = build_model("missrec_plus"), build_model("voters")
    assert torch.equal(both.training_loss(BATCH).total, voters.training_loss(BATCH).total)


def test_a_run_from_before_there_were_neighbors_is_its_voters() -> None:
    before = build_model("missrec_plus", "~model.neighbors", "~model.neighbors_weight")
    voters = build_model("voters")
    before.load_state_dict(voters.state_dict())
    assert torch.equal(scores(before), scores(voters))


def test_only_the_voters_scores_are_products_of_vectors() -> None:
    assert has_item_vectors(build_model("voters"))
    assert not has_item_vectors(build_model("missrec_plus"))
