"""The page "Fit to ship?" of runs that earlier versions left; nothing is trained."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir

from missrec.app.report import ship
from missrec.app.trained.ranked_again import TrainedRun
from missrec.data.sequences import SequenceDataset
from missrec.metrics.paired import read_ranks
from missrec.runs.folder import RunFolder
from run_folders import ROOT

KEPT = ROOT / "tests" / "kept_runs" / "format_0"
MADE_AT = "/srv/missrec"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept runs and their data at another place."""
    root = tmp_path_factory.mktemp("kept") / "project"
    shutil.copytree(KEPT, root)
    for path in root.rglob("*"):
        if path.suffix in {".yaml", ".json"} and path.is_file():
            path.write_text(path.read_text().replace(MADE_AT, str(root)))
    return root


def page_of(project: Path, run: str) -> str:
    places = [f"paths.data_dir={project}/data", f"paths.log_dir={project}/logs"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            "report", overrides=["num_resamples=199", *places, f"run={project}/logs/{run}"]
        )
    page = ship(cfg)
    assert page == project / "logs" / run / "fit_to_ship.html"
    return page.read_text(encoding="utf-8")


def headings(page: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page)


EVERYTHING = [
    "Against what learns nothing",
    "What each input is worth",
    "For popular and for rare items",
    "Examples",
    "Interests",
    "Training",
    "Speed and size",
    "What this page lacks",
]


def test_an_earlier_run_of_missrec_has_a_page_with_all_but_what_it_never_recorded(
    project: Path,
) -> None:
    page = page_of(project, "demo/missrec_s1")
    assert headings(page) == EVERYTHING
    assert re.search(r'class="verdict">(Better than|Worse than|Not clearly better than) ', page)
    for named in (
        "most popular",
        "transitions from the last item",
        "nearest text to the last item",
        "item-based nearest neighbors",
    ):
        assert f'scope="row">{named}</th>' in page
    for part in ("text", "image", "id"):
        assert f'scope="row">{part}</th>' in page
    assert "Only 60 test users, fewer than 200" in page
    assert "Coverage, bias and diversity were not recorded" in page
    assert page.count("(came next)") >= 6


def test_a_run_of_ids_alone_says_what_it_cannot_have(project: Path) -> None:
    page = page_of(project, "demo/sasrec_s1")
    assert "It ranks by what it learned of each item by its id alone: " in page
    assert {"What each input is worth", "Interests"}.isdisjoint(headings(page))
    assert "Against what learns nothing" in headings(page)


def test_without_its_data_a_page_has_what_was_recorded(project: Path, tmp_path: Path) -> None:
    moved = tmp_path / "project"
    shutil.copytree(project / "logs/demo/missrec_s1", moved / "logs/demo/missrec_s1")
    page = page_of(moved, "demo/missrec_s1")
    assert headings(page) == ["Training", "What this page lacks"]
    assert "need the data and the weights of the run: " in page
    assert "test users the item that came next is among the ten" in page
    for ranks in (moved / "logs/demo/missrec_s1").glob("test_ranks_*"):
        ranks.write_bytes(b"PAR1")
    assert "The recorded ranks of its test users cannot be read" in page_of(
        moved, "demo/missrec_s1"
    )


def test_what_is_no_finished_run_is_refused_and_leaves_nothing(project: Path) -> None:
    with pytest.raises(ValueError, match=r"run: demo/killed: no metrics\.json"):
        page_of(project, "demo/killed")
    with pytest.raises(ValueError, match=r"holds \d runs; name one of them"):
        page_of(project, "demo")
    with pytest.raises(FileNotFoundError, match="is no run folder; name one, such as"):
        page_of(project, "nowhere")
    assert not (project / "logs/demo/killed/fit_to_ship.html").exists()


@pytest.fixture(scope="module")
def tested(project: Path) -> TrainedRun:
    folder = RunFolder(project / "logs/demo/missrec_s1")
    return TrainedRun(folder, data_dir=project / "data")


def test_users_are_ranked_as_the_run_did(project: Path, tested: TrainedRun) -> None:
    (recorded,) = (project / "logs/demo/missrec_s1").glob("test_ranks_*.parquet")
    columns = ["user_id", "target_id", "rank"]
    assert tested.ranks(tested.model).select(columns).equals(read_ranks(recorded).select(columns))
    assert tested.ranks_without(()).equals(tested.ranks(tested.model))


def test_without_a_part_users_are_ranked_by_the_others_alone(tested: TrainedRun) -> None:
    alone = tested.ranks_without({"text", "image"})
    model, domains = tested.model, tested.domains
    users = SequenceDataset(
        items=domains.mixed.items,
        offsets=domains.mixed.offsets,
        targets=domains.split.test,
        max_seq_len=tested.settings.config["datamodule"]["max_seq_len"],
        trim_padding=True,
    )
    with torch.no_grad():
        batch = users[np.arange(len(tested))]
        vectors = model.item_vectors(torch.arange(1, tested.domains.num_items + 1))  # type: ignore[operator]
        scores = model.encode(batch) @ vectors.ids.T  # type: ignore[operator]
    own = scores.gather(1, batch.target_ids[:, None] - 1)
    naive = 1 + (scores > own).sum(dim=1)
    found = pl.DataFrame({"user_id": batch.user_ids.numpy(), "rank": naive.double().numpy()})
    assert alone["num_equal"].sum() == 0
    assert alone.select("user_id", "rank").equals(found.sort("user_id"))


def test_the_most_popular_are_ranked_by_their_counts(tested: TrainedRun) -> None:
    popular = next(iter(tested.baselines()))
    ranks = tested.ranks(popular.ranker)
    counts = tested.domains.train_counts[1:]
    for target, rank, equal in ranks.select("target_id", "rank", "num_equal").iter_rows():
        above = int((counts > counts[target - 1]).sum())
        same = int((counts == counts[target - 1]).sum()) - 1
        assert (rank, equal) == (1 + above + same / 2, same)
