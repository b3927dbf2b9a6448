"""The photo stream."""

import numpy as np
from scipy.ndimage import binary_fill_holes, label

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import draw_events
from jobs.planted.gestures import LIFT, UNTWIST
from jobs.planted.images import render_photo

CLEAN = PlantedConfig(num_subjects=2, photo_clutter=0.0, session_drift=0.0)
EVENTS = draw_events(CLEAN)


def test_shape_type_and_determinism():
    photo = render_photo(EVENTS[0], CLEAN)

    assert photo.shape == (64, 64, 3)
    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, render_photo(EVENTS[0], CLEAN))


def test_sensor_factors_do_not_touch_the_photo():
    other = CLEAN.model_copy(update={"device_gain": 0.0, "subject_style": 0.0, "sensor_noise": 0.0})

    np.testing.assert_array_equal(render_photo(EVENTS[3], CLEAN), render_photo(EVENTS[3], other))


def test_clean_scene_is_a_flat_backdrop_with_two_objects():
    for event in EVENTS[:20]:
        photo = render_photo(event, CLEAN).astype(int)
        backdrop = photo[0, 0]
        share = (np.abs(photo - backdrop).max(axis=2) > 20).mean()

        assert 0.04 < share < 0.35


def test_clutter_changes_the_backdrop():
    cluttered = CLEAN.model_copy(update={"photo_clutter": 1.0})
    corner = render_photo(EVENTS[0], cluttered)[:8, :8].astype(float)

    assert corner.std(axis=(0, 1)).min() > 2.0
    assert render_photo(EVENTS[0], CLEAN)[:8, :8].astype(float).std(axis=(0, 1)).max() == 0.0


def test_one_of_the_two_objects_is_filled():
    for event in EVENTS[:40]:
        photo = render_photo(event, CLEAN).astype(int)
        objects, count = label(np.abs(photo - photo[0, 0]).max(axis=2) > 20, structure=np.ones((3, 3)))
        hollow = [binary_fill_holes(objects == i).sum() > 1.2 * (objects == i).sum() for i in (1, 2)]

        assert count == 2
        assert sorted(hollow) == [False, True]


def test_the_filled_object_has_the_first_gestures_shape():
    """Lift is drawn as a disc, untwist as a star: a disc fills most of its circumscribed square, a star little."""
    fullness = {gesture: [] for gesture in (LIFT, UNTWIST)}
    for event in EVENTS:
        if event.pair[0] in fullness:
            photo = render_photo(event, CLEAN).astype(int)
            objects, _ = label(np.abs(photo - photo[0, 0]).max(axis=2) > 20, structure=np.ones((3, 3)))
            solid = [objects == i for i in (1, 2) if (binary_fill_holes(objects == i) == (objects == i)).all()]
            if solid:
                rows, columns = (np.ptp(axis) + 1 for axis in np.nonzero(solid[0]))
                fullness[event.pair[0]].append(solid[0].sum() / (rows * columns))

    assert np.median(fullness[LIFT]) > 0.7
    assert np.median(fullness[UNTWIST]) < 0.5
