from __future__ import annotations

from missrec.report.list_metrics import described, is_list_metric, list_metrics, meanings


def test_metrics_of_lists_are_shown_in_one_order_by_cut_off() -> None:
    keys = [
        *("ndcg@10", "tie_rate", "novelty@20", "diversity_text@10", "coverage@20", "gini@10"),
        *("diversity_image@10", "coverage@10", "cold_item_users", "coverage@10"),
    ]
    assert list_metrics(keys) == [
        *("coverage@10", "gini@10", "diversity_image@10", "diversity_text@10"),
        *("coverage@20", "novelty@20"),
    ]


def test_a_metric_is_called_by_its_modality_and_its_cut_off() -> None:
    assert described("diversity_text@10").label == "diversity@10 (text)"
    assert described("cold_item_recall@5").label == "R@5 of cold items"
    assert not any(map(is_list_metric, ("recall@10", "coverage", "cold_item_users", "x@1")))


def test_a_meaning_is_told_once_whatever_the_cut_off_and_the_modality() -> None:
    told = meanings(["diversity_text@5", "diversity_image@10", "coverage@5", "ndcg@10"])
    assert list(told) == ["coverage", "diversity"]
