"""`python src/report.py`: what ran, compared, and the paper's tables and figures from it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from missrec.app.command_line.invocation import as_started
from missrec.app.command_line.project import conf_dir
from missrec.app.preflight import check_shown
from missrec.app.rows import RowCommands, known_splits
from missrec.app.trained.baselines import computed_baselines
from missrec.app.trained.fit_to_ship import ShipSettings, fit_to_ship
from missrec.files import replace_folder
from missrec.metrics.buckets import check_edges
from missrec.report.comparisons import Asked, PairedTests, complete_section
from missrec.report.contents import OtherRow, Report, other_row
from missrec.report.datasets import DataToday, counts_notes, data_notes, table_1
from missrec.report.figures.of_runs import (
    PopularityFigure,
    interest_figures,
    learning_curves,
    popularity_figures,
)
from missrec.report.formats.csv import results_csv, runs_csv
from missrec.report.formats.html import page
from missrec.report.formats.latex import latex
from missrec.report.formats.markdown import markdown
from missrec.report.own_tables import OwnTables, own_sections
from missrec.report.paper import Paper, read_paper
from missrec.report.sections import Section, plan_sections
from missrec.runs.finding import FoundRuns, find_runs, run_folders
from missrec.runs.groups import Group, Run, group_runs
from missrec.runs.marks import read_marks
from missrec.runs.settings import Marks

_log = logging.getLogger(__name__)

_FORMATS = {
    "report.html": page,
    "report.md": markdown,
    "report.tex": latex,
    "results.csv": results_csv,
    "runs.csv": runs_csv,
}
_FIGURES = "figure-"

Entry = TypeVar("Entry")


class ReportSettings(NamedTuple):
    """What a report is asked for; see `conf/report.yaml`.

    Attributes:
        runs: folders and patterns.
        output_dir: replaced as a whole.
        paper: the file of the published figures.
        root_dir: of the project.
        data_dir: holds the domain folders.
        log_dir: what the names of runs are relative to.
        marks: which settings the runs of a row may differ in.
        seeds: of a complete row.
        tests: how rows are compared.
        own: how one's own runs are shown.
        baselines: whether simple baselines that have not run are ranked.
        curves: keys of the learning curves.
        interest_items: of Figure 3.
        popularity: of Figure 4.
    """

    runs: list[str]
    output_dir: Path
    paper: Path
    root_dir: Path
    data_dir: Path
    log_dir: Path
    marks: Marks
    seeds: list[int]
    tests: PairedTests
    own: OwnTables
    baselines: bool
    curves: list[str]
    interest_items: int
    popularity: PopularityFigure


def ship(cfg: DictConfig) -> Path:
    """Writes the page "Fit to ship?" of the run `cfg.run` into its folder.

    Returns:
        The file.

    Raises:
        FileNotFoundError, ValueError: the folder is no finished run.
    """
    check_edges("popularity.edges", cfg.popularity.edges)
    root_dir = Path(cfg.paths.root_dir)
    return fit_to_ship(
        ShipSettings(
            run=Path(cfg.run),
            paper=read_paper(_content(Path(cfg.paper))),
            data_dir=Path(cfg.paths.data_dir),
            log_dir=Path(cfg.paths.log_dir),
            marks=read_marks(conf_dir(root_dir)).of_rows(cfg.ignored),
            num_resamples=cfg.num_resamples,
            seed=cfg.bootstrap_seed,
            edges=list(cfg.popularity.edges),
            curves=list(cfg.curves),
        )
    )


def report(cfg: DictConfig) -> Report:
    """Writes the report of all runs into `cfg.output_dir`, which it replaces as a whole.

    Returns:
        What the formats show.

    Raises:
        FileNotFoundError, ValueError: no run is finished, a setting is wrong, or the folder holds
            something else than a report.
    """
    check_edges("popularity.edges", cfg.popularity.edges)
    check_shown("metrics", cfg.metrics)
    check_shown("chosen_by", [cfg.chosen_by])
    root_dir, data_dir = Path(cfg.paths.root_dir), Path(cfg.paths.data_dir)
    settings = ReportSettings(
        runs=[cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs),
        output_dir=Path(cfg.output_dir),
        paper=Path(cfg.paper),
        root_dir=root_dir,
        data_dir=data_dir,
        log_dir=Path(cfg.paths.log_dir),
        marks=read_marks(conf_dir(root_dir)).of_rows(cfg.ignored),
        seeds=list(cfg.seeds),
        tests=PairedTests(num_resamples=cfg.num_resamples, seed=cfg.bootstrap_seed),
        own=OwnTables(tuple(cfg.metrics), cfg.chosen_by, cfg.reference),
        baselines=cfg.baselines,
        curves=list(cfg.curves),
        interest_items=cfg.interest_items,
        popularity=PopularityFigure(
            table=cfg.popularity.table,
            over=list(cfg.popularity.over),
            edges=list(cfg.popularity.edges),
            data_dir=data_dir,
            splits=known_splits(root_dir),
        ),
    )
    return _report(settings)


def _report(settings: ReportSettings) -> Report:
    _check_replaceable(settings.output_dir)
    found = _find(settings)
    paper = read_paper(_content(settings.paper))
    stages = [run for run in found.finished if run.first_stage]
    groups = group_runs(run for run in found.finished if not run.first_stage)
    with TemporaryDirectory() as ranked, replace_folder(settings.output_dir) as draft:
        sections = _sections(settings, paper, groups, ranked=Path(ranked))
        interests = interest_figures(sections, draft, num_items=settings.interest_items)
        popularity = popularity_figures(sections, draft, asked=settings.popularity)
        result = Report(
            made_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            sources=tuple(os.path.relpath(path) for path in run_folders(settings.runs)),
            runs=tuple(found.finished),
            statistics=tuple(table_1(paper, data_dir=settings.data_dir)),
            sections=tuple(sections),
            others=tuple(_first_stages(stages)),
            unfinished=found.unfinished,
            broken=found.broken,
            figures=tuple(figure for made, _ in (popularity, interests) for figure in made),
            figure_notes=tuple(note for _, missing in (popularity, interests) for note in missing),
            curves=learning_curves(sections, settings.curves),
            metrics=settings.own.metrics,
        )
        for name, write in _FORMATS.items():
            text = as_started(write(result))
            (draft / name).write_text(text, encoding="utf-8", errors="replace")
    _say(result, settings.output_dir)
    return result


def _check_replaceable(output_dir: Path) -> None:
    """Refuses to replace a folder that holds anything but a report."""
    if not output_dir.exists():
        return
    if not output_dir.is_dir():
        raise ValueError(f"output_dir: {output_dir} is a file; name a folder")
    for path in sorted(output_dir.iterdir()):
        if not path.is_file() or not (path.name in _FORMATS or path.name.startswith(_FIGURES)):
            raise ValueError(
                f"output_dir: {path} is no part of a report, and the folder would be replaced; "
                "name another folder, such as output_dir=logs/report"
            )


def _find(settings: ReportSettings) -> FoundRuns:
    found = find_runs(run_folders(settings.runs), marks=settings.marks, shown_from=settings.log_dir)
    if not found.finished:
        raise FileNotFoundError(
            f"{', '.join(settings.runs)}: no finished run ({len(found.unfinished)} unfinished, "
            f"{len(found.broken)} broken{_first_reason(found)}); make one, such as "
            "python src/train.py experiment=demo"
        )
    return found


def _first_reason(found: FoundRuns) -> str:
    reasons = found.broken or found.unfinished
    return "".join(f", such as {name}: {reasons[name]}" for name in list(reasons)[:1])


def _sections(
    settings: ReportSettings, paper: Paper, groups: Sequence[Group], *, ranked: Path
) -> list[Section]:
    commands = RowCommands(settings.root_dir, marks=settings.marks)
    known_domains = _content(conf_dir(settings.root_dir) / "known_domains.yaml")
    today = DataToday(data_dir=settings.data_dir, splits=settings.popularity.splits)
    known = data_notes(paper, data_dir=settings.data_dir, known_domains=known_domains)
    runs = [run for group in groups for run in group.runs]
    counts = counts_notes(runs, data_dir=settings.data_dir)
    asked = Asked(
        seeds=settings.seeds,
        tests=settings.tests,
        command=commands.command,
        data_notes=known,
        changed_since=today.changes,
    )
    checked = [
        group._replace(differences=commands.differences(group.setup, group.runs[0].settings))
        for group in _shown([g for g in groups if paper.has_row_of(g.setup)], "reading settings")
    ]
    computed = []
    if settings.baselines:
        computed = computed_baselines(
            paper,
            groups,
            ranked,
            data_dir=settings.data_dir,
            cutoffs=_cutoffs([*settings.own.metrics, settings.own.chosen_by]),
            changed_since=today.changes,
        )
    own = own_sections(paper, [*groups, *computed], settings.own)
    planned = [*own, *plan_sections(paper, checked)]
    with_counts = {data: [*notes, *known.get(data, ())] for data, notes in counts.items()}
    of_own = asked._replace(data_notes={**known, **with_counts})
    return [
        complete_section(section, of_own if section.table.is_own else asked)
        for section in _shown(planned, "comparing")
    ]


def _cutoffs(metrics: Iterable[str]) -> list[int]:
    cutoffs = (metric.partition("@")[2] for metric in metrics)
    return sorted({int(cutoff) for cutoff in cutoffs if cutoff.isdecimal()})


def _content(path: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(path))


def _shown(entries: Sequence[Entry], doing: str) -> Iterable[Entry]:
    """The entries with a progress bar, where somebody looks."""
    return track(
        entries,
        description=doing,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _first_stages(runs: Sequence[Run]) -> list[OtherRow]:
    groups = group_runs(runs)
    rows = []
    for group in groups:
        setup = group.setup
        named = (setup.model, setup.inputs, setup.transfer, setup.ablation, setup.data)
        label = ", ".join((*named, *(["pre-trained"] if setup.pretrained else [])))
        alike = [other for other in groups if other.setup == setup]
        rows.append(other_row(label, group, alike, "first stage"))
    return sorted(rows, key=lambda row: row.label)


def _say(result: Report, output_dir: Path) -> None:
    for name, reason in result.broken.items():
        _log.warning("%s is broken and left out: %s", name, reason)
    if unknown := [run.name for run in result.runs if run.data is None]:
        _log.warning(
            "%s runs do not know what data they were made on, such as %s", len(unknown), unknown[0]
        )
    for section in result.filled:
        if section.table.is_own:
            number = len(section.filled)
            many = "system" if number == 1 else "systems"
            _log.info("%s: %s %s. %s", section.title, number, many, section.variant.note)
    _log.info(
        "%s finished, %s unfinished and %s broken runs; %s of the paper's tables have runs: %s",
        len(result.runs),
        len(result.unfinished),
        len(result.broken),
        sum(not section.table.is_own for section in result.filled),
        output_dir / "report.html",
    )
