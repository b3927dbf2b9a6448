import numpy as np
import pytest
import torch

from modalities.spec import Signal
from pipeline.evaluate.controls import probe_inputs, probe_rows, subset_name
from pipeline.evaluate.features import Features, extract
from pipeline.evaluate.handmade import handmade
from pipeline.evaluate.probe import ProbeConfig, ProbeRow, ProbeTask
from pipeline.evaluate.sensor_statistics import SensorStatistics
from pipeline.types import Batch

CONFIG = ProbeConfig(label_percents=(10, 100), draws=2)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 160)
TASK = ProbeTask(LABELS, np.array([f"s{i % 8}" for i in range(160)]), np.arange(120), np.arange(120, 160), 3)


def table(informative: float) -> Features:
    """Stream "a" shows class 0 or not, stream "b" class 1 or not: only both show all three."""
    values = {
        name: (informative * (k == LABELS)[:, None] + 0.1 * RNG.normal(size=(160, 4))).astype(np.float32)
        for k, name in enumerate("ab")
    }
    return Features(np.arange(160), values, {name: np.ones(160, dtype=bool) for name in values})


def probed(source: str, features: Features, metadata: np.ndarray = LABELS[:, None]) -> list[ProbeRow]:
    subsets = [("a",), ("b",), ("a", "b")]
    inputs = probe_inputs({source: features}, metadata.astype(np.float32), subsets, train=TASK.train)
    return [row for given in inputs for row in probe_rows(given, TASK, config=CONFIG, seed=0)]


def test_fused_streams_know_more_than_each():
    rows = [row for row in probed("probe", table(1.0)) if row.source == "probe"]
    best = {row.subset: row.accuracy for row in rows if row.percent == 100 and row.method == "linear"}

    assert best["fused"] > 0.95
    assert max(best["a"], best["b"]) < 0.85


def test_a_control_has_the_linear_probe_and_the_labels_of_the_real_one():
    real = [row for row in probed("probe", table(1.0)) if (row.source, row.subset) == ("probe", "fused")]
    found = probed("random_init", table(0.0))
    control = [row for row in found if (row.source, row.subset) == ("random_init", "fused")]

    assert [row.name for row in control] == [f"control/random_init/fused/{p}" for p in (10, 100)]
    assert [row.num_labels for row in control] == [row.num_labels for row in real if row.method == "linear"]
    assert control[-1].accuracy < 0.6 < real[-1].accuracy


def test_metadata_is_one_row_a_percentage_and_reads_a_telling_column():
    rows = [row for row in probed("probe", table(0.0)) if row.source == "metadata"]

    assert [row.name for row in rows] == ["control/metadata/fused/10", "control/metadata/fused/100"]
    assert rows[1].accuracy > 0.95


@pytest.mark.parametrize(("subset", "name"), [(("a",), "a"), (("b", "a"), "fused"), (("a", "c"), "a-c")])
def test_subset_names(subset, name):
    assert subset_name(subset, ["a", "b"]) == name


def test_handmade_features_go_through_the_same_table():
    values = torch.randn(5, 3, 40, generator=torch.Generator().manual_seed(0))
    signal = Signal(values, None, torch.tensor([True, True, False, True, True]))
    batch = Batch(torch.arange(5), {"imu": signal}, {"imu": torch.arange(5)})
    features = extract([batch], handmade({"imu": SensorStatistics()}))

    np.testing.assert_array_equal(features.values["imu"], SensorStatistics()(signal))
    assert features.present["imu"].tolist() == [True, True, False, True, True]
