"""The examples in docstrings of the Python interface, run on a kept demo run."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest
from conftest import ROOT

import missrec
from missrec.retrieval import recommender

KEPT = ROOT / "tests" / "kept_runs" / "format_0"


@pytest.mark.parametrize(("module", "least"), [(missrec, 1), (recommender, 9)])
def test_the_examples_of_docstrings_are_true(
    module: ModuleType, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(KEPT)
    model = missrec.load("logs/finetune/missrec")
    runner = doctest.DocTestRunner()
    told: list[str] = []
    found = [
        example
        for example in doctest.DocTestFinder().find(module, extraglobs={"model": model})
        if example.examples
    ]
    assert len(found) >= least
    for example in found:
        runner.run(example, out=told.append)
    assert not runner.failures, "".join(told)
