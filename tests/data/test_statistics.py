from __future__ import annotations

from missrec.data.statistics import DomainStatistics, domain_statistics
from synthetic import prepared_domain


def test_row_of_table_1() -> None:
    assert domain_statistics(prepared_domain()) == DomainStatistics(
        name="tiny",
        num_users=4,
        num_items=6,
        num_with={"text": 6, "image": 6 - 2},
        num_interactions=18,
        mean_length=18 / 4,
    )


def test_items_nobody_touched_are_counted() -> None:
    assert domain_statistics(prepared_domain([[1, 2, 1]])).num_items == 6
