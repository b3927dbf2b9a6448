"""The hand-made control is strong on public data: a weak control would flatter every encoder.

Run with KINDRED_DATA=<folder of uci_har and utd_mhad> pytest -m data tests/pipeline/evaluate/test_real_data.py.
"""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.spec import Signal
from pipeline.evaluate.fusion import standardise
from pipeline.evaluate.probe import ProbeConfig, ProbeTask, probe
from pipeline.evaluate.sensor_statistics import SensorStatistics

ROOT = Path(os.environ.get("KINDRED_DATA", "/nonexistent"))
HIP = 3
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not ROOT.is_dir(), reason="KINDRED_DATA is not set"),
]


def features(series: list[np.ndarray], config: SensorStatistics) -> np.ndarray:
    """Of arrays (C, T_i), padded and masked in batches."""
    steps = max(x.shape[1] for x in series)
    rows = []
    for start in range(0, len(series), 128):
        part = series[start : start + 128]
        values = torch.zeros(len(part), len(part[0]), steps)
        mask = torch.zeros(values.shape, dtype=torch.bool)
        for i, x in enumerate(part):
            values[i, :, : x.shape[1]], mask[i, :, : x.shape[1]] = torch.from_numpy(x), True
        rows.append(config(Signal(values, mask, torch.ones(len(part), dtype=torch.bool))))
    return np.concatenate(rows)


def test_uci_har_official_split():
    data = np.load(ROOT / "uci_har" / "uci_har.npz", allow_pickle=False)
    test, config = data["official_test"], ProbeConfig(methods=("linear",), label_percents=(1, 5, 10, 100))
    task = ProbeTask(data["activity"], data["subject"].astype(str), np.flatnonzero(~test), np.flatnonzero(test), 6)
    x = standardise(features(list(data["signals"]), SensorStatistics()), task.train)

    found = [100 * row.accuracy for row in probe(x, task, subset="imu", config=config, seed=0)]
    print(found)
    assert all(a >= b for a, b in zip(found, (82.9, 90.0, 92.3, 95.5), strict=True))


def test_utd_mhad_odd_against_even_subjects():
    folder = ROOT / "utd_mhad"
    with (folder / "manifest.csv").open() as file:
        takes = list(csv.DictReader(file))
    subject = np.array([int(take["subject"]) for take in takes])
    imu = [np.loadtxt(folder / t["inertial"], delimiter=",", skiprows=1, dtype=np.float32).T for t in takes]
    skeleton = [np.load(folder / t["skeleton"], allow_pickle=False).reshape(-1, 60).T.astype(np.float32) for t in takes]
    odd = np.flatnonzero(subject % 2 == 1)
    task = ProbeTask(
        np.array([int(t["action"]) - 1 for t in takes]), subject.astype(str), odd, np.flatnonzero(subject % 2 == 0), 27
    )
    slow = SensorStatistics(bins=12, segments=(6,), frames=16, centre=HIP)
    a = standardise(features(imu, SensorStatistics(segments=(4, 6))), odd)
    b = standardise(features(skeleton, slow), odd)
    config = ProbeConfig(methods=("linear",), label_percents=(100,))

    found = [
        100 * probe(x, task, subset=name, config=config, seed=0)[0].accuracy
        for name, x in (("imu", a), ("skeleton", b), ("fused", np.concatenate([a, b], axis=1)))
    ]
    print(found)
    assert all(value >= floor for value, floor in zip(found, (85.8, 85.3, 89.5), strict=True))
