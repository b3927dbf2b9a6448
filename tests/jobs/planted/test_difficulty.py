"""The generator is honest: hand-made features, words and metadata do not read the activity."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import draw_events
from jobs.planted.images import render_photo
from jobs.planted.notes import write_note
from jobs.planted.signals import render_imu
from modalities.spec import Signal
from pipeline.evaluate.sensor_statistics import SensorStatistics

CONFIG = PlantedConfig(num_subjects=12, sessions_per_subject=1, nan_gap_rate=0.0)
EVENTS = draw_events(CONFIG)
ACTIVITY = np.array([event.activity for event in EVENTS])
DEVICE = np.array([event.device for event in EVENTS])
TRAIN = np.array([event.subject < 9 for event in EVENTS])
CHANCE, PAIR = 1 / 8, 2 / 8


def accuracy(features: np.ndarray, target: np.ndarray) -> float:
    """Logistic regression on unseen subjects."""
    scaled = StandardScaler().fit(features[TRAIN]).transform(features)
    model = LogisticRegression(C=0.01, max_iter=200).fit(scaled[TRAIN], target[TRAIN])
    return float(model.score(scaled[~TRAIN], target[~TRAIN]))


def sensor_features(config: PlantedConfig) -> np.ndarray:
    values = torch.zeros(len(EVENTS), 6, 200)
    mask = torch.zeros(values.shape, dtype=torch.bool)
    for i, event in enumerate(EVENTS):
        readings = torch.from_numpy(render_imu(event, config).T.copy()).float()
        values[i, :, : readings.shape[1]] = readings
        mask[i, :, : readings.shape[1]] = True
    return SensorStatistics()(Signal(values, mask, torch.ones(len(EVENTS), dtype=torch.bool)))


@pytest.fixture(scope="module")
def sensor() -> np.ndarray:
    return sensor_features(CONFIG)


def test_sensor_statistics_are_near_chance(sensor):
    assert accuracy(sensor, ACTIVITY) < CHANCE + 0.12


def test_sensor_statistics_read_the_device_while_it_shows(sensor):
    anonymous = {"device_gain": 0.0, "device_offset": 0.0, "device_rotation": 0.0}
    common = np.bincount(DEVICE[~TRAIN]).max() / (~TRAIN).sum()

    assert accuracy(sensor, DEVICE) > 0.9
    assert accuracy(sensor_features(CONFIG.model_copy(update=anonymous)), DEVICE) < common + 0.1


def test_words_tell_the_unordered_pair_only():
    notes = [write_note(event, CONFIG) for event in EVENTS]
    bags = TfidfVectorizer(ngram_range=(1, 2), min_df=2).fit_transform(notes).toarray()

    assert accuracy(bags, ACTIVITY // 2) > 0.75
    assert accuracy(bags, ACTIVITY) < 2 * PAIR + 0.1


def test_pixels_are_near_chance():
    photos = np.stack([render_photo(event, CONFIG) for event in EVENTS]).reshape(len(EVENTS), 16, 4, 16, 4, 3)

    assert accuracy(photos.mean(axis=(2, 4)).reshape(len(EVENTS), -1), ACTIVITY) < CHANCE + 0.12


def test_metadata_is_chance():
    columns = [np.eye(99)[DEVICE], np.array([[e.length_s, e.start_ns / 1e18, len(e.present)] for e in EVENTS])]

    assert accuracy(np.concatenate(columns, axis=1), ACTIVITY) < CHANCE + 0.08
