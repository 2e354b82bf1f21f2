"""Fills the tables and figures of the docs from what runs recorded, so that none is typed.

python bench/results.py --runs logs     # takes finished runs into docs/results/record.json first
python bench/results.py --new-items logs/bench/new_items_*.json     # of bench/new_items.py
python bench/results.py                 # the docs from the record alone
python bench/results.py --check         # whether they hold what the record gives

What the docs show stands in docs/results/tables.yaml.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

import json

import yaml
from results_docs import Results, typed_figures

from missrec.files import write_text
from missrec.report.paper import read_paper

DOCS = (
    "README.md",
    "docs/results.md",
    "docs/presets.md",
    "docs/missrec_plus.md",
    "docs/extract.md",
    "docs/baselines.md",
)
UNTYPED = ("docs/results.md", "docs/presets.md", "docs/missrec_plus.md")
"""Documents none of whose measured figures may be typed."""

_TABLES, _RECORD = "docs/results/tables.yaml", "docs/results/record.json"
_RANKS = "docs/results/ranks"


def read_results(root: Path) -> Results:
    """What was measured, and how the docs show it."""
    tables, paper = (
        yaml.safe_load((root / name).read_text(encoding="utf-8"))
        for name in (_TABLES, "conf/paper.yaml")
    )
    return Results(tables, read_record(root), read_paper(paper))


def read_record(root: Path) -> dict[str, Any]:
    """Row -> what was measured of it."""
    content: dict[str, Any] = json.loads((root / _RECORD).read_text(encoding="utf-8"))
    return content


def write_record(root: Path, record: Mapping[str, Any]) -> None:
    """Writes the record, a line a row."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in record.items())
    write_text(root / _RECORD, f"{{\n{lines}\n}}\n")


def fill(root: Path, *, only_check: bool) -> list[str]:
    """Brings the docs to what the record gives; which ones were not."""
    results, stale = read_results(root), []
    for name in DOCS:
        before = (root / name).read_text(encoding="utf-8")
        after = results.filled(before)
        if after != before:
            stale.append(name)
            if not only_check:
                write_text(root / name, after)
    return stale


def typed(root: Path) -> dict[str, list[str]]:
    """Document -> figures that no expression gives."""
    found = {name: typed_figures((root / name).read_text(encoding="utf-8")) for name in UNTYPED}
    return {name: figures for name, figures in found.items() if figures}


def _taken(runs: Sequence[str], new_items: Sequence[Path]) -> dict[str, Any]:
    """The record with what was measured since."""
    from results_record import take_new_items, take_runs  # noqa: PLC0415 # torch takes seconds

    results, record = read_results(ROOT), read_record(ROOT)
    if runs:
        record = take_runs(results, record, runs, ranks_dir=ROOT / _RANKS)
    return take_new_items(results, record, new_items)


def main() -> None:
    """Takes runs, fills the docs, or checks them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="+", default=[], help="folders of runs, at any depth")
    parser.add_argument("--new-items", nargs="+", default=[], type=Path, help="JSON files")
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.runs or arguments.new_items:
        write_record(ROOT, _taken(arguments.runs, arguments.new_items))
    stale = fill(ROOT, only_check=arguments.check)
    for name in stale:
        print(f"{name}: {'not what the record gives' if arguments.check else 'filled'}")
    for name, figures in typed(ROOT).items():
        print(f"{name}: typed, and given by no expression: {', '.join(figures)}")
    if arguments.check and (stale or typed(ROOT)):
        sys.exit("error: docs and record differ; run: python bench/results.py")


if __name__ == "__main__":
    main()
