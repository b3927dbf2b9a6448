import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.memory.cluster_numbers import ClusterNumbers, check_numbers, numbers_for
from pipeline.memory.config import ClustersConfig


@pytest.mark.parametrize(
    ("num_rows", "expected"),
    [
        (1_281_167, ClusterNumbers(10_009, 20)),  # the reference has 10 000 clusters and at least 20 in each
        (7352, ClusterNumbers(57, 21)),
        (16, ClusterNumbers(2, 2)),
        (15, None),
        (0, None),
    ],
)
def test_the_rule_for_the_number_of_clusters(num_rows: int, expected: ClusterNumbers | None) -> None:
    assert numbers_for(ClustersConfig(), None, num_rows, space="a") == expected


@given(st.integers(0, 10**7), st.none() | st.integers(2, 10**5), st.none() | st.integers(1, 50))
def test_what_is_chosen_can_always_be_repaired(num_rows: int, num: int | None, smallest: int | None) -> None:
    numbers = numbers_for(ClustersConfig(min_cluster=smallest), num, num_rows, space="a")

    assert numbers is None or (numbers.num >= 2 and 2 * numbers.num * numbers.smallest <= num_rows)


def test_more_clusters_than_fit_are_refused_with_both_numbers() -> None:
    """The reference's repair of sizes [2, 4, 2] with at least 3 in each never ends (methods 3.6)."""
    with pytest.raises(ConfigError, match=r"3 clusters of at least 3 .*fit 8 .*num\.0 expected=>= 2, <= 1 got=3"):
        check_numbers(ClustersConfig(num=(3,), min_cluster=3), 8)


def test_a_single_cluster_is_refused() -> None:
    with pytest.raises(ConfigError, match="got=1"):
        check_numbers(ClustersConfig(num=(1,)), 1000)


def test_a_stream_with_few_rows_gets_fewer_clusters_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        numbers = numbers_for(ClustersConfig(), 100, 200, space="depth/0")

    assert numbers == ClusterNumbers(50, 2)
    assert "depth/0: 200 rows carry 50 clusters of 2, not 100" in caplog.text
