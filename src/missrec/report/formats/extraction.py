"""The table of what an extraction did."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from missrec.features.extraction import Extraction
from missrec.report.formats.terminal import print_table


def print_extraction(done: Mapping[str, Mapping[str, Extraction]]) -> None:
    """What an extraction did: domain -> modality -> its figures; one line each."""
    table = Table("Dataset", "Modality", title="Features")
    for column in ("#Items", "with (%)", "encoded now", "items/s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("#Items by outcome")
    for domain, modalities in done.items():
        for modality, row in modalities.items():
            speed = f"{row.num_encoded / row.seconds:,.1f}" if row.num_encoded else "-"
            table.add_row(
                domain,
                modality,
                f"{row.num_items:,}",
                f"{row.num_with:,} ({100 * row.num_with / max(1, row.num_items):.2f})",
                f"{row.num_encoded:,}",
                speed,
                ", ".join(f"{outcome} {count:,}" for outcome, count in row.outcomes.items()),
            )
    print_table(table)
