"""The latent factors of every event, drawn before anything is rendered."""

from dataclasses import dataclass

import numpy as np

from jobs.planted.config import PlantedConfig
from jobs.planted.gestures import ACTIVITIES, EFFORTS, PAIRS
from modalities.draws import derive_seed

STREAMS = ("imu", "photo", "note")
_EPOCH_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Event:
    """Ground truth of one event. `present` names the streams that are recorded; `start_ns` is UTC; `tag` may be wrong
    or empty."""

    key: str
    subject: int
    device: int
    session: int
    activity: int
    effort: int
    start_ns: int
    length_s: float
    present: tuple[str, ...]
    tag: str

    @property
    def pair(self) -> tuple[int, int]:
        """First and second gesture."""
        return PAIRS[self.activity]

    @property
    def activity_name(self) -> str:
        return ACTIVITIES[self.activity]

    @property
    def effort_name(self) -> str:
        return EFFORTS[self.effort]


def generator(config: PlantedConfig, *parts: int | str) -> np.random.Generator:
    """Independent random numbers for a named purpose."""
    return np.random.default_rng(derive_seed(config.seed, *parts))


def draw_events(config: PlantedConfig) -> list[Event]:
    """All events, in order of subject, session and time."""
    sessions = range(config.num_subjects * config.sessions_per_subject)
    return [event for session in sessions for event in _session(config, session)]


def _session(config: PlantedConfig, session: int) -> list[Event]:
    subject = session // config.sessions_per_subject
    count = config.events_of(subject)
    rng = generator(config, "session", session)
    device = int(rng.integers(config.num_devices))
    activities, efforts = _bouts(config, count, rng), rng.integers(len(EFFORTS), size=count)
    lengths = rng.uniform(config.min_length_s, config.max_length_s, count).round(2)
    day = _EPOCH_NS + session * 86_400 * _SECOND_NS + int(rng.integers(8 * 3600, 16 * 3600)) * _SECOND_NS
    starts = day + np.cumsum(np.round((lengths + rng.uniform(5.0, 40.0, count)) * 1000).astype(np.int64)) * 1_000_000
    present, tags = _present(config, session, count), _tags(config, session, activities)
    return [
        Event(
            key=f"s{subject:03d}-d{session:04d}-e{i:04d}",
            subject=subject,
            device=device,
            session=session,
            activity=int(activities[i]),
            effort=int(efforts[i]),
            start_ns=int(starts[i]),
            length_s=float(lengths[i]),
            present=present[i],
            tag=tags[i],
        )
        for i in range(count)
    ]


def _bouts(config: PlantedConfig, count: int, rng: np.random.Generator) -> np.ndarray:
    """Activity of each of `count` events (N,): shuffled bouts, every activity equally often up to one bout."""
    num_bouts = -(-count // config.bout_events)
    rounds = -(-num_bouts // config.num_activities)
    order = np.concatenate([rng.permutation(config.num_activities) for _ in range(rounds)])[:num_bouts]
    return np.repeat(order, config.bout_events)[:count]


def _present(config: PlantedConfig, session: int, count: int) -> list[tuple[str, ...]]:
    draws = generator(config, "missing", session).random((count, 3))
    keep = draws >= np.array([config.missing_imu, config.missing_photo, config.missing_note])
    keep[~keep.any(axis=1), 0] = True
    return [tuple(name for name, kept in zip(STREAMS, row, strict=True) if kept) for row in keep]


def _tags(config: PlantedConfig, session: int, activities: np.ndarray) -> list[str]:
    rng = generator(config, "tag", session)
    tagged = rng.random(len(activities)) < config.tag_rate
    wrong = rng.random(len(activities)) < config.tag_noise
    moved = rng.integers(1, config.num_activities, len(activities))
    named = np.where(wrong, (activities + moved) % config.num_activities, activities)
    return [ACTIVITIES[number] if kept else "" for number, kept in zip(named.tolist(), tagged.tolist(), strict=True)]
