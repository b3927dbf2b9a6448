"""Raw values of a stream as JSON states them: what a served model is asked with."""

import numpy as np

from modalities.image.codec import ImageSchema
from modalities.image.request import image_example, parse_image
from modalities.sensor.codec import SensorSchema
from modalities.sensor.request import parse_series, series_example
from modalities.spec import Statistics
from modalities.text.codec import TextSchema
from modalities.text.request import TEXT_EXAMPLE, parse_text


def parse_raw(schema: SensorSchema | ImageSchema | TextSchema, value: object) -> np.ndarray | str | bytes:
    """JSON value -> raw value as `Codec.encode` takes it. Raises SignalError, which quotes no raw data."""
    match schema:
        case SensorSchema():
            return parse_series(schema, value)
        case ImageSchema():
            return parse_image(value)
        case TextSchema():
            return parse_text(value)


def example_of(schema: SensorSchema | ImageSchema | TextSchema, statistics: Statistics) -> object:
    """A JSON value that shows the form and is nobody's data."""
    match schema:
        case SensorSchema():
            return series_example(schema, statistics)
        case ImageSchema():
            return image_example(schema)
        case TextSchema():
            return TEXT_EXAMPLE
