import numpy as np
import pytest

from pipeline.evaluate.labelled import Labelled
from pipeline.evaluate.neighbours import knn_probe, vote
from pipeline.evaluate.probe_config import ProbeConfig


def vote_loop(x: np.ndarray, stored: np.ndarray, y: np.ndarray, classes: int, k: int) -> list[int]:
    found = []
    for query in x:
        cosine = [float(query @ row / np.linalg.norm(query) / np.linalg.norm(row)) for row in stored]
        votes = [0.0] * classes
        for row in sorted(range(len(stored)), key=lambda row: -cosine[row])[:k]:
            votes[y[row]] += np.exp(cosine[row] / 0.07)
        found.append(int(np.argmax(votes)))
    return found


def test_votes_equal_the_loop():
    rng = np.random.default_rng(0)
    stored, x, y = rng.normal(size=(30, 5)), rng.normal(size=(40, 5)), rng.integers(0, 3, 30)
    found = vote(x, stored=stored, y=y, num_classes=3, neighbours=[1, 4, 100])

    for k, classes in found.items():
        assert classes.tolist() == vote_loop(x, stored, y, 3, k)


def test_k_is_chosen_on_held_out_groups():
    """Every group repeats one mislabelled point: a near neighbour of another group is right, a single one is noise."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(2, 6)) * 4
    y = rng.integers(0, 2, 200)
    x = centres[y] + rng.normal(size=(200, 6)) * 0.5
    noisy = np.where(rng.random(200) < 0.3, 1 - y, y)
    labelled = Labelled(x, noisy, np.array([f"g{i % 5}" for i in range(200)]), 2)

    prediction = knn_probe(labelled, centres, ProbeConfig(neighbours=(1, 50)))

    assert (prediction.chosen, prediction.validated) == (50, True)
    assert prediction.held_out == pytest.approx((noisy == y).mean(), abs=0.02)  # every clean vote is right
    assert prediction.classes.tolist() == [0, 1]


def test_the_default_is_used_where_groups_cannot_be_held_out():
    labelled = Labelled(np.eye(4), np.array([0, 1, 0, 1]), np.array(["a", "b", "a", "b"]), 2)

    prediction = knn_probe(labelled, np.eye(4), ProbeConfig(default_neighbours=1))

    assert (prediction.chosen, prediction.validated) == (1, False)
    assert prediction.classes.tolist() == [0, 1, 0, 1]
