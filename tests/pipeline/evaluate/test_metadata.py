import numpy as np
import pytest

from pipeline.evaluate.metadata import metadata_features

HOUR = 3600 * 10**9


@pytest.fixture
def columns() -> np.ndarray:
    return metadata_features(
        {"device": np.array(["x", "y", "z"])},
        {"imu": np.array([True, False, True])},
        start_ns=np.array([6 * HOUR, 30 * HOUR, -1]),
        end_ns=np.array([7 * HOUR, 30 * HOUR + 10**9, -1]),
        train=np.array([0, 1]),
    )


def test_groups_unknown_to_training_have_no_column(columns):
    assert columns[:, :2].tolist() == [[1, 0], [0, 1], [0, 0]]


def test_presence_and_times(columns):
    assert columns[:, 2].tolist() == [1, 0, 1]
    assert columns[:, 3].tolist() == [1, 1, 0]
    assert columns[:, 4].tolist() == [3600, 1, 0]
    np.testing.assert_allclose(columns[0, 6:], [1, 0], atol=1e-6)  # six in the morning: a quarter turn
    np.testing.assert_allclose(columns[1, 6:], columns[0, 6:], atol=1e-6)  # the same time of another day


def test_unknown_times_are_zero_in_every_column(columns):
    assert not columns[2, 3:].any()
