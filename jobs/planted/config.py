"""Settings of the planted demo data: how many of each factor, and how strongly each factor shows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.planted.gestures import ACTIVITIES
from modalities.spec import Config

Strength = Annotated[float, Field(ge=0.0, le=2.0)]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class PlantedConfig(Config):
    """Planted data. A strength of 0 removes a factor from the signals, 1 is the calibrated difficulty.

    Every factor draws from its own generator: changing one strength leaves all other draws as they were.
    """

    kind: Literal["planted"] = "planted"
    """Raw files are generated with known factors."""

    seed: int = Field(default=0, ge=0)
    """Root of every draw."""

    num_subjects: int = Field(default=24, ge=1, le=999)
    """People; splits should hold out whole subjects."""

    num_devices: int = Field(default=4, ge=1, le=99)
    """Sensor units; each session uses one, drawn at random."""

    sessions_per_subject: int = Field(default=2, ge=1, le=99)
    """Recording days of each subject."""

    events_per_session: int = Field(default=64, ge=1, le=9999)
    """Events of each session, as balanced over activities as the number allows."""

    events_by_subject: tuple[Annotated[int, Field(ge=1, le=9999)], ...] | None = None
    """Events of each session, subject by subject, where people recorded unequally much; None: `events_per_session` of
    everybody. A subject with as many events as before keeps every draw."""

    num_activities: int = Field(default=8, ge=2, le=len(ACTIVITIES))
    """Classes: ordered pairs of gestures."""

    bout_events: int = Field(default=4, ge=1)
    """Consecutive events of a session that share their activity; what a temporal relation can find."""

    rate_hz: float = Field(default=25.0, ge=10.0, le=400.0)
    """Sampling rate of the sensor."""

    min_length_s: float = Field(default=4.0, ge=3.0)
    """Shortest recording of an event."""

    max_length_s: float = Field(default=8.0, le=120.0)
    """Longest recording of an event."""

    missing_imu: Rate = 0.05
    """Share of events without sensor recording."""

    missing_photo: Rate = 0.10
    """Share of events without photo."""

    missing_note: Rate = 0.15
    """Share of events without note. An event that would lose all three streams keeps its sensor recording."""

    tag_rate: Rate = 0.50
    """Share of events that a person tagged with what was done; the others have an empty tag."""

    tag_noise: Rate = 0.10
    """Share of tags that name another activity."""

    nan_gap_rate: Rate = 0.30
    """Share of sensor recordings with one gap of 0.1 to 0.5 s in all or half of the channels."""

    gesture_steps: bool = Field(default=False, exclude_if=lambda written: not written)
    """Also write which gesture every sensor step belongs to, for labels of single steps."""

    effort: Strength = 0.25
    """How much effort (light, steady, hard), shared by all streams, shows. Strong effort is a shortcut: it is easier to
    align on than the activity, and is learned first."""

    device_gain: Strength = 1.0
    """Per-channel gain of each device, log-normal."""

    device_offset: Strength = 1.0
    """Per-channel zero offset of each device."""

    device_rotation: Strength = 1.0
    """Mounting angle of each device."""

    subject_style: Strength = 1.0
    """Tempo, amplitude and tilt of each subject."""

    session_drift: Strength = 1.0
    """Slow drift and strap position of each session, and its room light in the photos."""

    sensor_noise: Strength = 1.0
    """White noise and tremor of the sensor."""

    photo_clutter: Strength = 1.0
    """Background texture, stray marks and pixel noise."""

    note_chatter: Strength = 1.0
    """Number of unrelated phrases around what the note says."""

    def events_of(self, subject: int) -> int:
        """Events of each of the subject's sessions."""
        return self.events_per_session if self.events_by_subject is None else self.events_by_subject[subject]

    @model_validator(mode="after")
    def _events_of_everybody(self) -> "PlantedConfig":
        if self.events_by_subject is not None and len(self.events_by_subject) != self.num_subjects:
            raise ValueError(f"events_by_subject names {len(self.events_by_subject)} of {self.num_subjects} subjects")
        return self

    @model_validator(mode="after")
    def _lengths_in_order(self) -> "PlantedConfig":
        if self.min_length_s > self.max_length_s:
            raise ValueError(f"min_length_s {self.min_length_s} exceeds max_length_s {self.max_length_s}")
        return self
