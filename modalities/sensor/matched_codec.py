"""Series that were stored for another data set, read as the channels that an encoder was trained with."""

from collections.abc import Sequence

import torch

from modalities.sensor.channels import ABSENT, check_rate, check_units, rows_by_name
from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.spec import Signal, SignalError


class MatchedCodec(SensorCodec):
    """Decodes to the encoder's channels, which are found by name.

    absent: those that are not stored, which are unobserved; left_out: stored ones that the encoder does not know.
    trained: the schema of what is decoded; `schema` is that of the stored series.
    """

    def __init__(self, stored: SensorSchema, trained: SensorSchema) -> None:
        """Raises SignalError where no channel has a name that the encoder knows, or units, rate or origin differ."""
        super().__init__(stored)
        rows = rows_by_name(trained, stored.channels)
        if all(row == ABSENT for row in rows):
            raise SignalError(
                "DATA_CHANNELS",
                "no channel has the name of one that the encoder was trained with",
                expected=list(trained.channels),
                got=list(stored.channels),
                fix="name the channels alike in data.ingest.schemas, where they measure the same, and ingest again",
            )
        check_units(trained, stored.units, rows, named=len(stored.channels))
        check_rate(trained, stored.rate_hz)
        _check_origin(stored, trained)
        have = [place for place, row in enumerate(rows) if row != ABSENT]
        self._places, self._rows = torch.tensor(have), torch.tensor([rows[place] for place in have])
        self.absent = tuple(name for name, row in zip(trained.channels, rows, strict=True) if row == ABSENT)
        self.left_out = tuple(name for name in stored.channels if name not in trained.channels)
        own = {"max_steps": stored.max_steps, "nonfinite": stored.nonfinite, "limit": stored.limit}
        self.trained = trained.model_copy(update=own)

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        """Stored series -> values and mask (B, C, max_steps) of the encoder's channels."""
        stored = super().decode(payloads)
        assert stored.mask is not None  # noqa: S101 - a series always has one
        shape = (len(stored), len(self.trained.channels), stored.values.shape[2])
        values, mask = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
        values[:, self._places] = stored.values[:, self._rows]
        mask[:, self._places] = stored.mask[:, self._rows]
        return Signal(values, mask, stored.present)


def _check_origin(stored: SensorSchema, trained: SensorSchema) -> None:
    """Triples relative to one another are other quantities than those relative to nothing."""
    expected, got = _origin(trained), _origin(stored)
    if expected != got:
        raise SignalError(
            "DATA_CHANNELS",
            "the series are stored relative to another triple of channels",
            expected=expected,
            got=got,
            fix="ingest again with the relative_to that stands for the encoder's triple",
        )


def _origin(schema: SensorSchema) -> list[str] | None:
    first = None if schema.relative_to is None else 3 * schema.relative_to
    return None if first is None else list(schema.channels[first : first + 3])
