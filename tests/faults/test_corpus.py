"""A share of the mutation corpus in every test run; `python -m tests.faults.corpus` runs all of it."""

from collections import Counter

import pytest

from tests.faults.corpus import Corpus

COUNT = 1200


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory):
    return Corpus(tmp_path_factory.mktemp("corpus")).run(COUNT, seed=7)


@pytest.mark.fault("D05")
def test_no_damage_is_silent_untyped_unnamed_or_overlooked(reports) -> None:
    outcomes = sum((report.outcomes for report in reports.values()), Counter())

    bad = {
        k: v
        for r in reports.values()
        for k, v in r.examples.items()
        if k in {"silent", "untyped", "unnamed", "unverified"}
    }
    assert bad == {}
    assert outcomes.total() == COUNT


def test_the_corpus_does_damage(reports) -> None:
    for name in ("shard", "manifest", "index", "foreign"):
        outcomes = reports[name].outcomes
        assert outcomes["refused"] > 0.5 * outcomes.total(), name


def test_nothing_hangs(reports) -> None:
    assert max(report.slowest_s for report in reports.values()) < 5
