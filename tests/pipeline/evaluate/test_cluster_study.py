import json

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.evaluate.cluster_agreement import group_column, label_column
from pipeline.evaluate.cluster_study import ClusterStudy, read_study, study_clusters
from pipeline.evaluate.pseudo_labels import PseudoLabels


def study() -> ClusterStudy:
    """Samples 2..7 of 8: imu clusters are the devices, one sample has none; fused clusters are the classes."""
    classes = np.array([-1, 0, 0, 1, 0, 1, 0, 1])
    idx = np.arange(2, 8)
    found = PseudoLabels(idx, {"imu": np.array([0, 0, 0, 1, 1, -1]), "fused": classes[idx], "note": np.full(6, -1)})
    columns = [label_column("activity", classes[idx]), group_column("device", np.array(list("aaabbb")))]
    features = np.arange(16, dtype=np.float32).reshape(8, 2) ** 2
    return study_clusters(found, columns, features, classes=classes, names=["walk", "run"])


def test_each_space_is_judged_and_shown_by_its_own_clusters() -> None:
    found = study()

    assert {name: [(c.cluster, set(c.idx)) for c in chosen] for name, chosen in found.chosen.items()} == {
        "imu": [(0, {2, 3, 4}), (1, {5, 6})],
        "fused": [(0, {2, 4, 6}), (1, {3, 5, 7})],
        "note": [],
    }
    metrics = found.metrics()
    assert metrics["pseudo_labels/imu/device/ami"] == metrics["pseudo_labels/fused/activity/ami"] == 1
    assert metrics["pseudo_labels/imu/clusters"] == 2
    assert metrics["pseudo_labels/note/clusters"] == metrics["pseudo_labels/note/max_share"] == 0
    assert [text.split(" follow ")[0] for text in found.warnings("activity")] == [
        "Clusters of imu",
        "Clusters of note: no sample has a pseudo-label.",
    ]


def test_the_nearest_sample_is_by_the_features_of_that_sample() -> None:
    found = study()
    x = np.arange(16).reshape(8, 2) ** 2

    for chosen in found.chosen["fused"]:
        own = x[list(chosen.idx)]
        distances = np.linalg.norm(own - own.mean(axis=0), axis=1)
        assert (np.diff(distances) >= 0).all()


def test_a_study_survives_json() -> None:
    assert read_study(json.loads(json.dumps(study().document()))) == study()
    assert read_study(None) == ClusterStudy()
    assert ClusterStudy().metrics() == {}


def test_a_document_of_something_else_is_refused() -> None:
    with pytest.raises(ValidationError):
        read_study({"summaries": [{"space": 3}]})
