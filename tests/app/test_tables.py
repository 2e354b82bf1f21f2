"""A small sweep of each table of the paper on the demo, and the report of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir

from doors import call
from missrec.app.report import report
from missrec.report.contents import Report
from synthetic import demo_source_sizes

TINY = (
    "data=demo",
    "data.sources.demo_office.num_users=40",
    "data.sources.demo_office.num_items=30",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "callbacks.progress_bar=null",
    "callbacks.interpretation=null",
    "logger=csv",
    "seed=1",
)
SHORT = ["trainer.max_epochs=1"]
OF_SOURCES = [*SHORT, *demo_source_sizes(num_users=20, num_items=20)]
SWEEPS: Mapping[str, Sequence[str]] = {
    "table2": (f"stage_overrides={json.dumps(SHORT)}",),
    "table3": (),
    "table4": ("model=missrec", f"stage_overrides={json.dumps(OF_SOURCES)}"),
    "table5": (),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("tables")
    places = [f"paths.data_dir={folder / 'data'}", f"paths.log_dir={folder / 'logs'}"]
    for name, further in SWEEPS.items():
        ended = call("train", f"sweep={name}", *TINY, *places, *further)
        assert ended.code == 0, ended
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("report", overrides=["num_resamples=99", "seeds=[1]", *places])
    return report(cfg)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "num_rows"),
    [
        ("Table 2, demo, from scratch", 11),
        ("Table 3, demo, from scratch", 6 + 3),  # of MISSRec, and those that are in Table 2 too
        ("Table 4, demo", 4),
        ("Table 5, demo, from scratch", 5),  # from scratch, row (1) is row (0)
    ],
)
def test_a_sweep_fills_its_table(made: Report, title: str, num_rows: int) -> None:
    (section,) = [section for section in made.sections if section.title == title]
    filled = [row.label for row in section.rows if len(row.values("recall@10")) == 1]
    assert len(filled) == num_rows


@pytest.mark.slow
def test_first_stages_are_named_beside_the_tables(made: Report) -> None:
    assert {row.label for row in made.others} == {
        "missrec, tv, inductive, full, demo_sources",
        "s3rec, t, transductive, full, demo",  # its first stage
    }
    assert not made.broken
    assert not made.unfinished
