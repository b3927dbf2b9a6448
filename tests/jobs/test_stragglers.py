"""A slow worker is named once, with what it spends its time on."""

import pytest

from jobs._stragglers import Stragglers


def _metrics(rank: int, ratio: float, data: float) -> dict[str, float]:
    return {
        "workers/slowest_rank": rank,
        "workers/slowest_ratio": ratio,
        "workers/slowest_data_share": data,
    }


@pytest.mark.fault("P12")
def test_each_slow_worker_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    stragglers = Stragglers()
    for metrics in (_metrics(1, 1.4, 0.9), _metrics(1, 5.1, 0.9), _metrics(1, 5.2, 0.9), _metrics(3, 2.5, 0.1), {}):
        stragglers(metrics)

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "rank 1 takes 5.1 times as long as the others, mostly waiting for data",
        "rank 3 takes 2.5 times as long as the others, mostly computing",
    ]
