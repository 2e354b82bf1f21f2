"""conf/paper.yaml, and what reading such a file refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from missrec.report.paper import read_paper
from run_folders import ROOT, SETUP
from synthetic import PARITY

REFERENCE = PARITY.parent
CONTENT: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "paper.yaml"))
PAPER = read_paper(CONTENT)
TABLES = {table.name: table for table in PAPER.tables}


def changed(**changes: Any) -> Any:
    content = copy.deepcopy(CONTENT)
    content["tables"][0].update(changes)
    return content


def test_the_tables_have_the_rows_of_the_paper() -> None:
    assert list(TABLES) == ["Table 2", "Table 3", "Table 4", "Table 5"]
    own = {name: [row for row in t.rows if not row.part] for name, t in TABLES.items()}
    assert {name: len(rows) for name, rows in own.items()} == {
        "Table 2": 11,  # nine lines of baselines and two of MISSRec
        "Table 3": 15,
        "Table 4": 4,
        "Table 5": 6,
    }
    assert [row.label for row in TABLES["Table 2"].rows[-4:]] == [
        "most popular",
        "transitions from the last item",
        "nearest text to the last item",
        "item-based nearest neighbors",
    ]


def test_the_figures_are_those_of_the_paper() -> None:
    path = REFERENCE / "paper_tables.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    printed = json.loads(path.read_text())
    keys = [key for key in printed if key.startswith("table")]
    for name, key in zip(TABLES, sorted(keys)[1:], strict=True):
        table = TABLES[name]
        ours = sorted(
            (dataset.removesuffix(" subset"), *sorted(figures.items()))
            for row in table.rows
            if not row.part
            for dataset, figures in row.published.items()
        )
        theirs = sorted(
            (dataset, *sorted(figures.items()))
            for dataset, rows in printed[key].items()
            for figures in rows.values()
        )
        assert ours == theirs
    for row in printed["table1_statistics"]:
        ours_1 = PAPER.datasets[row["dataset"]].published
        assert ours_1["users"] == row["users"]
        assert ours_1["images"] == row["items_with_image"]
        assert ours_1["length"] == row["average_length"]


def test_the_sources_add_up_to_the_pre_training_set() -> None:
    whole = PAPER.datasets["Pre-trained"]
    for name in ("users", "items", "images", "interactions"):
        parts = (PAPER.datasets[part].published[name] for part in whole.sum_of)
        assert sum(parts) == whole.published[name]


def test_the_data_of_a_set_is_what_its_choice_is_called() -> None:
    for dataset in PAPER.datasets.values():
        for data, choice in dataset.choices.items():
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                cfg = compose("prepare", f"data={choice}".split())
            assert cfg.data.name == data
            assert PAPER.dataset_of(data) == dataset
    assert PAPER.dataset_of("toys") is None


def test_a_row_is_found_by_its_setup_on_any_data_and_in_either_variant() -> None:
    assert PAPER.has_row_of(SETUP)
    assert PAPER.has_row_of(SETUP._replace(pretrained=True))
    assert PAPER.has_row_of(SETUP._replace(ablation="no_adapters"))
    assert not PAPER.has_row_of(SETUP._replace(ablation="own"))
    assert not PAPER.has_row_of(SETUP._replace(model="sasrec"))  # its inputs are ids


ROW = {"label": "a", "run": {"model": "a", "inputs": "t", "transfer": "inductive"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "cannot be read"),
        ({"datasets": [], "tables": []}, "cannot be read"),
        (changed(datasets=["Toys"]), "Toys is not among the datasets"),
        (changed(reference="me"), r"reference \(me\) must label a row"),
        (changed(rows=[{**ROW, "variant": "x"}], reference="a"), "must label a row of all"),
        (changed(rows=[ROW, ROW], reference="a"), "two rows have the same label"),
        (changed(rows=[{"label": "a", "run": {"model": "a"}}]), "run names no inputs, transfer"),
        (changed(rows=[{**ROW, "published": {"Arts": [1]}}]), "1 published figures, expected 4"),
    ],
)
def test_a_malformed_file_is_refused(content: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_paper(content)
