"""Latent factors: deterministic, balanced, and each drawn on its own."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import draw_events

CONFIG = PlantedConfig(num_subjects=6, events_per_session=64, missing_imu=0.2, missing_photo=0.3, missing_note=0.4)


def test_same_seed_same_events():
    assert draw_events(CONFIG) == draw_events(CONFIG)


def test_other_seed_other_events():
    assert draw_events(CONFIG) != draw_events(CONFIG.model_copy(update={"seed": 1}))


def test_more_subjects_leave_the_first_ones_as_they_were():
    larger = draw_events(CONFIG.model_copy(update={"num_subjects": 8}))

    assert larger[: len(draw_events(CONFIG))] == draw_events(CONFIG)


def test_subjects_with_as_many_events_as_before_keep_every_draw_where_others_have_more_or_fewer():
    uneven = draw_events(CONFIG.model_copy(update={"events_by_subject": (64, 8, 64, 200, 64, 64)}))

    counts = Counter(event.subject for event in uneven)
    assert [counts[subject] for subject in range(6)] == [128, 16, 128, 400, 128, 128]
    same = {0, 2, 4, 5}
    assert [e for e in uneven if e.subject in same] == [e for e in draw_events(CONFIG) if e.subject in same]


def test_missing_rates_do_not_touch_other_factors():
    latents = [(e.key, e.device, e.activity, e.effort, e.start_ns, e.length_s) for e in draw_events(CONFIG)]
    full = draw_events(CONFIG.model_copy(update={"missing_imu": 0.0, "missing_photo": 0.0, "missing_note": 0.0}))

    assert latents == [(e.key, e.device, e.activity, e.effort, e.start_ns, e.length_s) for e in full]
    assert all(e.present == ("imu", "photo", "note") for e in full)


def test_missing_rates_are_met_and_no_event_is_empty():
    events = draw_events(CONFIG)
    share = {name: np.mean([name not in e.present for e in events]) for name in ("imu", "photo", "note")}

    assert all(e.present for e in events)
    assert share == pytest.approx({"imu": 0.2, "photo": 0.3, "note": 0.4}, abs=0.06)


def test_every_stream_missing_keeps_the_sensor():
    nothing = CONFIG.model_copy(update={"missing_imu": 1.0, "missing_photo": 1.0, "missing_note": 1.0})

    assert {e.present for e in draw_events(nothing)} == {("imu",)}


def test_activities_are_balanced_within_every_session():
    counts = Counter((e.session, e.activity) for e in draw_events(CONFIG))

    assert len(counts) == 12 * 8
    assert set(counts.values()) == {8}


def test_bouts_share_an_activity():
    events = [e for e in draw_events(CONFIG) if e.session == 0]

    assert all(len({e.activity for e in events[i : i + 4]}) == 1 for i in range(0, 64, 4))


def test_events_of_a_session_do_not_overlap_in_time():
    events = draw_events(CONFIG)
    for earlier, later in pairwise(events):
        if earlier.session == later.session:
            assert earlier.start_ns + earlier.length_s * 1e9 < later.start_ns


def test_starts_are_whole_days_apart_between_sessions():
    starts = {}
    for event in draw_events(CONFIG):
        starts.setdefault(event.session, event.start_ns // (86_400 * 10**9))

    assert len(set(starts.values())) == len(starts)
    assert min(starts.values()) == 20_454  # 2026-01-01 in days since 1970


def test_lengths_stay_in_range_and_vary():
    lengths = [e.length_s for e in draw_events(CONFIG)]

    assert min(lengths) >= CONFIG.min_length_s
    assert max(lengths) <= CONFIG.max_length_s
    assert len(set(lengths)) > 100
