"""Twelve random faults: nothing is lost, nothing is double, and the bits are those of an undisturbed run."""

from pathlib import Path

import pytest

from tests.faults.chaos import report, run_campaign


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.fault("P01", "P03", "P04", "P05", "P08", "P09", "P10")
def test_twelve_random_faults_change_nothing(tmp_path: Path) -> None:
    campaign = run_campaign(tmp_path, faults=12, seed=0)

    assert campaign.done.total() == 12
    assert campaign.wrong == [], report(campaign)
