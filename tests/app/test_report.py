"""The whole report from folders as runs leave them; no training."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from missrec.app.report import report
from missrec.data.splits import LeaveOneOut
from missrec.report.contents import other_settings
from missrec.runs.identity import identity_of_folders
from run_folders import ROOT, record_run, run_config
from synthetic import prepared_domain, random_sequences, write_domain_folder

DATA = "scientific_mm_subset"
SEQUENCES = random_sequences(num_users=60, num_items=30, seed=1)
OURS = (f"data={DATA}", "transfer=transductive", "logger=csv")
BASELINE = (f"data={DATA}", "model=sasrec", "logger=csv")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def config(tmp_path: Path, *overrides: str) -> DictConfig:
    places = [f"paths.data_dir={tmp_path}/data", f"paths.log_dir={tmp_path}/logs"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("report", overrides=["num_resamples=199", *places, *overrides])


def record(tmp_path: Path, name: str, overrides: tuple[str, ...], **changes: Any) -> Path:
    """A run on `SEQUENCES` with random ranks, better the more `skill`."""
    skill, seed = changes.pop("skill", 1.0), changes.pop("seed", 1)
    ranks = 1 + np.floor(np.random.default_rng(seed).random(len(SEQUENCES)) * 29 / skill)
    targets = [sequence[-1] for sequence in SEQUENCES]
    settings = {key: changes.pop(key) for key in list(changes) if "__" in key}
    run = run_config(*overrides, seed=seed, **settings)
    return record_run(tmp_path / "logs" / name, run, ranks, targets=targets, **changes)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two systems of two seeds, and what else may lie among runs."""
    prepared = prepared_domain(SEQUENCES, name=DATA, num_items=30)
    write_domain_folder(tmp_path / "data" / DATA, prepared)
    for seed in (1, 2):
        record(tmp_path, f"sweeps/x/{seed}_ours", OURS, seed=seed, skill=3.0)
        record(tmp_path, f"scratch/base_{seed}", BASELINE, seed=seed, stopped_early=seed == 1)
    record(tmp_path, "lr", OURS, optimizer__lr=0.01)
    record(tmp_path, "demo", ("experiment=demo", "logger=csv"))
    (record(tmp_path, "running", OURS) / "metrics.json").unlink()
    (record(tmp_path, "<b>broken", OURS) / "metrics.json").write_text('{"test/recall@10": 0.')
    write_interests(tmp_path / "logs" / "sweeps" / "x" / "1_ours")
    return tmp_path / "logs"


def write_interests(run: Path) -> None:
    (run / "interests").mkdir()
    pairs = [("a", "text", 0), ("a", "image", 1), ("b", "text", 1), ("b", "image", 1)]
    tokens = [
        (DATA, key, f"Title {key} $5", modality, interest) for key, modality, interest in pairs
    ]
    names = ["domain", "item_key", "title", "modality", "interest"]
    pl.DataFrame(tokens, schema=names, orient="row").write_parquet(run / "interests/tokens.parquet")
    sizes = {"interest": [1, 0], "size": [3, 1], "central_items": [["Title b"], ["Title a"]]}
    pl.DataFrame(sizes).write_parquet(run / "interests/interests.parquet")


def test_a_report_has_every_format_and_figure_and_nothing_else(logs: Path) -> None:
    made = report(config(logs.parent))
    assert sorted(path.name for path in (logs / "report").iterdir()) == [
        "figure-3-scientific-mm-subset.png",
        "figure-3-scientific-mm-subset.svg",
        "figure-4-table-2-scientific-subset-from-scratch.png",
        "figure-4-table-2-scientific-subset-from-scratch.svg",
        "figure-4-your-runs-scientific-subset.png",
        "figure-4-your-runs-scientific-subset.svg",
        "report.html",
        "report.md",
        "report.tex",
        "results.csv",
        "runs.csv",
    ]
    assert [path.name for path in logs.iterdir() if path.name.startswith(".")] == []
    assert len(made.runs) == 6
    assert list(made.unfinished) == ["running"]
    assert list(made.broken) == ["<b>broken"]
    assert "metrics.json cannot be read" in made.broken["<b>broken"]
    assert made.others == ()
    (note,) = made.figure_notes  # the demo's data is not there
    assert note.startswith("demo, by popularity of the target: ")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_without_network_draws_every_plot_and_sorts_without_an_error(
    logs: Path, tmp_path: Path
) -> None:
    report(config(logs.parent))
    page = (logs / "report" / "report.html").read_text()
    used = tmp_path / "used.html"
    used.write_text(
        f"""{page}<script>
        document.querySelectorAll("details").forEach((details) => {{ details.open = true; }});
        document.querySelectorAll("th button").forEach((button) => button.click());
        </script>"""
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += [f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=5000"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
    shown = subprocess.run(
        [str(CHROMIUM), *options, used.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert [line for line in shown.stderr.splitlines() if "CONSOLE" in line] == []
    num_plots = len(re.findall(r'class="plot\b', page))
    assert num_plots >= 3
    assert len(re.findall(r'class="plot\b[^"]*js-plotly-plot', shown.stdout)) == num_plots
    # Each click sorts its table anew and takes the mark from the column before.
    num_sorted = len(re.findall(r"<th[^>]* aria-sort=", shown.stdout))
    assert num_sorted == len(re.findall(r'<table class="[^"]*sortable', page)) > 0


def test_rows_have_their_seeds_and_what_was_changed_stays_out_of_them(logs: Path) -> None:
    report(config(logs.parent))
    with (logs / "report" / "results.csv").open() as file:
        every = [line for line in csv.DictReader(file) if line["runs"] != "0"]
    lines = [line for line in every if line["table"] != "Your runs"]
    found = {(line["table"], line["row"]): line for line in lines if line["metric"] == "recall@10"}
    assert set(found) == {
        ("Table 2", "SASRec (ID)"),
        ("Table 2", "MISSRec (T+V+ID)"),
        ("Table 3", "MISSRec (ID+T+V)"),
    }
    ours = found["Table 3", "MISSRec (ID+T+V)"]
    assert (ours["runs"], ours["seeds"], ours["published"]) == ("2", "1 2", "0.1646")
    assert "other data: 60 test users, the known set has 2,928" in ours["flags"]
    assert "custom" not in ours["flags"]
    assert ours["command"].endswith("ablation=full seed=3,4,5")
    base = found["Table 2", "SASRec (ID)"]
    assert "not converged: stopped on max_epochs (seed 2)" in base["flags"]
    assert float(base["difference"]) < 0
    (section,) = (s for s in report(config(logs.parent)).filled if s.table.name == "Table 3")
    (other,) = section.references[0].others
    assert [run.name for run in other.runs] == ["lr"]
    assert other.differences == ("optimizer.lr=0.01 (0.001)",)


def test_the_page_begins_with_one_s_own_data_and_ranks_the_baselines_that_have_not_run(
    logs: Path,
) -> None:
    made = report(config(logs.parent))
    own = [section for section in made.sections if section.table.is_own]
    assert made.filled[: len(own)] == own
    by_title = {section.title: section for section in own}
    assert by_title.keys() == {"Your runs, demo", "Your runs, Scientific subset"}
    section = by_title["Your runs, Scientific subset"]
    labels = [row.label for row in section.filled]
    assert set(labels) == {
        "MISSRec (T+V+ID), optimizer.lr=0.001",
        "MISSRec (T+V+ID), optimizer.lr=0.01",
        "SASRec (ID)",
        "most popular",
        "transitions from the last item",
        "nearest text to the last item",
        "item-based nearest neighbors",
        "nearest_neighbor (V)",
    }
    floors = [row for row in section.filled if not row.definition.trained]
    assert all("ranked for this report, as it has no run" in row.flags for row in floors)
    assert all(row.comparisons for row in section.filled if row.definition.trained)
    assert len(section.table.references) == 2
    assert section.empty == []  # no command is left to give
    assert not any(run.is_computed for run in section.without_lists)
    without = report(config(logs.parent, "baselines=false"))
    (section,) = (s for s in without.sections if s.title == "Your runs, Scientific subset")
    assert [row.label for row in section.empty] == [
        "most popular",
        "transitions from the last item",
        "nearest text to the last item",
        "item-based nearest neighbors",
    ]


def test_runs_on_other_data_stand_apart_and_are_told_from_today_s(
    logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [logs.parent / "data" / DATA]
    today = identity_of_folders(folders, LeaveOneOut(), modalities=["text", "image"])
    other = {DATA: {**today[DATA], "users": "others"}}
    for seed, data in ((3, today), (4, today), (5, other)):
        record(logs.parent, f"known_{seed}", OURS, seed=seed, optimizer__lr=0.02, data=data)
    record(logs.parent, "base_6", BASELINE, seed=6, optimizer__lr=0.02, data=other)
    shutil.rmtree(logs / "scratch")
    made = report(config(logs.parent))
    (section,) = (s for s in made.filled if s.table.name == "Table 3")
    found = {tuple(r.name for r in row.group.runs): row.flags for row in other_settings(section)}
    assert f"made on other data: {DATA}: users" in found["known_5",]
    assert f"made on other data: {DATA}: users" in found["known_3", "known_4"]
    (section,) = (s for s in made.filled if s.table.name == "Table 2")
    assert f"The data is no longer what runs were made on: {DATA}: users." in section.notes
    assert "runs do not know what data they were made on, such as" in caplog.text


def test_a_folder_that_is_not_the_known_set_is_said(logs: Path) -> None:
    made = report(config(logs.parent))
    assert any("is not the full-modality subset" in note for s in made.filled for note in s.notes)


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=self_supervised", "data=scientific"],
        ["experiment=align_codes", "data=scientific", "pretrained=null"],
    ],
)
def test_a_first_stage_is_no_row_though_its_setup_is_that_of_one(
    logs: Path, overrides: list[str]
) -> None:
    targets = [sequence[-1] for sequence in SEQUENCES]
    record_run(logs / "stage", run_config(*overrides), [1.0] * len(SEQUENCES), targets=targets)
    made = report(config(logs.parent))
    (flags,) = (row.flags for row in made.others if row.group.runs[0].name == "stage")
    assert "first stage" in flags
    counted = {r.name for s in made.filled for row in s.rows if row.group for r in row.group.runs}
    assert "stage" not in counted


def test_a_row_that_another_run_starts_from_stays_one(logs: Path) -> None:
    source = str(logs / "sweeps" / "x" / "1_ours" / "checkpoints" / "epoch_001.ckpt")
    targets = [sequence[-1] for sequence in SEQUENCES]
    tuned = run_config(*OURS, pretrained=source)
    record_run(logs / "tuned", tuned, [1.0] * len(SEQUENCES), targets=targets)
    made = report(config(logs.parent))
    counted = {r.name for s in made.filled for row in s.rows if row.group for r in row.group.runs}
    assert {"sweeps/x/1_ours", "tuned"} <= counted


def test_without_its_data_a_figure_says_what_is_missing_and_the_rest_is_made(logs: Path) -> None:
    shutil.rmtree(logs.parent / "data")
    (logs / "sweeps/x/1_ours/interests/tokens.parquet").write_bytes(b"PAR1")
    made = report(config(logs.parent))
    assert made.figures == ()
    assert any("manifest.json is missing" in note for note in made.figure_notes)
    assert any("the interests of sweeps/x/1_ours cannot be read" in n for n in made.figure_notes)
    assert made.filled


@pytest.mark.parametrize("other", ["mine.txt", "runs.csv.d"])
def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path, other: str) -> None:
    record(tmp_path, "a", OURS)
    mine = tmp_path / "logs" / "report" / other
    if other.endswith(".d"):
        mine.mkdir(parents=True)
    else:
        mine.parent.mkdir()
        mine.write_text("mine")
    (mine.parent / "report.html").write_text("an old report")
    for overrides in ([], [f"output_dir={tmp_path}/logs"]):
        with pytest.raises(ValueError, match="is no part of a report"):
            report(config(tmp_path, *overrides))
    with pytest.raises(ValueError, match="is a file"):
        report(config(tmp_path, f"output_dir={mine.parent}/report.html"))
    assert mine.exists()


def test_a_failure_leaves_the_old_report_as_it_was(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(config(logs.parent))
    before = (logs / "report" / "report.md").read_bytes()

    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setitem(report.__globals__["_FORMATS"], "runs.csv", fail)
    with pytest.raises(OSError, match="disk full"):
        report(config(logs.parent))
    assert (logs / "report" / "report.md").read_bytes() == before
    assert not any(path.name.startswith(".") for path in logs.iterdir())


def test_no_finished_run_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(FileNotFoundError, match=r"0 unfinished, 0 broken\); make one"):
        report(config(tmp_path))
    (record(tmp_path, "a", OURS) / "metrics.json").write_text("{")
    with pytest.raises(FileNotFoundError, match=r"1 broken, such as a: .*metrics\.json cannot"):
        report(config(tmp_path))
    assert not (tmp_path / "logs" / "report").exists()
