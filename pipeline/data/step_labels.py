"""Labels of single time steps: a class for every step of one sensor stream, which is cut and resampled with it.

A step label is no stream (nothing is learned from it by itself, and equal ones are no duplicates) and no label column
(it has a value a step), so it is declared apart, under `step_labels`. It is stored as one more member of each sample
that has its stream, `<key>.<name>.npy` (see `step_codec.py`): as many class numbers as the stream has steps, -1 where
the class is unknown. Index and manifest say where; those of data sets without any stay as they were, byte for byte.

Its source gives codes, which are never interpolated: each stored step takes the nearest raw one.
Axes: T steps.
"""

import math
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from modalities.spec import Config
from pipeline.data.series import Series, SeriesSource
from pipeline.data.sources import SeriesForm
from pipeline.errors import DataError

UNKNOWN = -1
Code: TypeAlias = Annotated[str, Field(pattern=r"^(0|-?[1-9][0-9]{0,6})$")]
Numbers: TypeAlias = NDArray[np.int16]

_DERIVED = ("scale", "reference", "select", "resample_hz", "crop_s", "nearest")
"""Keys of a source that are the stream's, or have no meaning for codes."""


class StepLabel(Config):
    """A class for every step of a stream."""

    stream: str
    """Sensor stream whose steps are labelled."""
    source: Annotated[SeriesForm, Field(discriminator="kind")]
    """Where the codes are: a series of one channel. Rate and, where the stream has them, time stamps are its own;
    resampling and crop are the stream's. NaN and empty cells are unknown."""
    classes: dict[Code, str] = Field(min_length=2, max_length=np.iinfo(np.int16).max)
    """Code -> class name, for example "0": rest. Any other code is an error."""
    unknown: tuple[Code, ...] = ()
    """Further codes that mean that the class is unknown."""

    @field_validator("source")
    @classmethod
    def _codes_alone(cls, source: SeriesForm) -> SeriesForm:
        if len(source.names) != 1:
            raise ValueError(f"a step label has one channel; got {list(source.names)}")
        fields = type(source).model_fields
        if wrong := [key for key in _DERIVED if getattr(source, key) != fields[key].default]:
            raise ValueError(f"leave out {wrong}: codes are kept as they are and follow their stream")
        return source

    @model_validator(mode="after")
    def _distinct(self) -> "StepLabel":
        if len(set(self.classes.values())) != len(self.classes):
            raise ValueError("classes must have distinct names")
        if both := sorted(self.classes.keys() & set(self.unknown)):
            raise ValueError(f"codes {both} are both a class and unknown")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in class order, which is that of the codes."""
        return tuple(self.classes[code] for code in sorted(self.classes, key=int))

    def along(self, stream: SeriesSource) -> SeriesForm:
        """The source, read as its stream is: at the stored rate, by the nearest raw step, and with the crop.

        Labels with time stamps need no crop: they are laid where they belong.
        """
        crop_s = stream.crop_s if stream.clock is None else None
        return self.source.model_copy(update={"nearest": True, "resample_hz": stream.stored_rate_hz, "crop_s": crop_s})

    def numbers(self, codes: Series) -> Numbers:
        """Class numbers (T,) of a series of codes. Raises DataError for a code that is none."""
        values = codes.values[0]
        known = np.array(sorted(map(int, self.classes)), np.float32)
        place = np.searchsorted(known, values).clip(max=len(known) - 1)
        is_class = known[place] == values
        is_unknown = np.isnan(values) | np.isin(values, np.array([int(code) for code in self.unknown], np.float32))
        wrong = ~(is_class | is_unknown)
        if wrong.any():
            step = int(wrong.argmax())
            raise DataError(
                "a step has a code that is no class",
                code="DATA_LABEL",
                expected=sorted(self.classes, key=int)[:100],
                got={"step": step, "code": f"{values[step]:g}"},
                fix="name it under classes, or list it under unknown",
            )
        return np.where(is_class, place, UNKNOWN).astype(np.int16)

    def on_steps(self, codes: Series, stream: Series, source: SeriesSource) -> Numbers:
        """Class numbers of the steps of its stream (T,), whose source is given; unknown where timed labels leave out.

        Raises DataError for an unknown code, for labels of another length than the stream, or of another time.
        """
        numbers, steps = self.numbers(codes), stream.values.shape[1]
        if codes.first_ns is not None and stream.first_ns is not None:
            start = round((codes.first_ns - stream.first_ns) * stream.rate_hz / 1e9)
            if not -len(numbers) < start < steps:
                raise _elsewhere(codes.first_ns, stream.first_ns)
            return _laid(numbers, start, steps=steps)
        same_rate = self.source.rate_hz == source.rate_hz
        slack = 0 if same_rate else math.ceil(stream.rate_hz / min(self.source.rate_hz, source.rate_hz))
        if abs(len(numbers) - steps) > slack:
            raise DataError(
                "the labels have another number of steps than their stream",
                code="DATA_SHAPE",
                expected=steps,
                got=len(numbers),
                fix="label every step of the stream, or give both sources a time column",
            )
        return _laid(numbers, 0, steps=steps)


def _laid(numbers: Numbers, start: int, *, steps: int) -> Numbers:
    """(T,) with the numbers from step `start`, which may be negative, and unknown elsewhere."""
    laid = np.full(steps, UNKNOWN, np.int16)
    own = numbers[max(0, -start) : steps - start]
    laid[max(0, start) : max(0, start) + len(own)] = own
    return laid


def _elsewhere(labels_ns: int, stream_ns: int) -> DataError:
    return DataError(
        "the labels lie outside the time of their stream",
        code="DATA_TIME",
        expected=stream_ns,
        got=labels_ns,
        fix="check the clock and unit of both time columns",
    )
