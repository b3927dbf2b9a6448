"""How the planted raw files are ingested: the `data.ingest` section of a recipe, as plain values."""

import math

from jobs.planted.config import PlantedConfig
from jobs.planted.gestures import GESTURES
from jobs.planted.images import SIZE
from jobs.planted.signals import CHANNELS, UNITS

_MAX_TOKENS = 48
_MAX_CHARACTERS = 400


def description(config: PlantedConfig) -> dict[str, object]:
    """Records, sources, schemas and a split by subject: a quarter tests, an eighth validates."""
    return {
        "records": {"kind": "csv", "path": "records.csv", "key": "key"},
        "streams": {
            "imu": {
                "kind": "csv",
                "path": "{imu}",
                "channels": list(CHANNELS),
                "rate_hz": config.rate_hz,
                "time": {"column": "time_ns", "unit": "ns", "clock": "utc"},
                "optional": True,
            },
            "photo": {"kind": "file", "path": "{photo}", "optional": True},
            "note": {"kind": "column", "column": "note", "optional": True},
        },
        "schemas": {
            "imu": {
                "kind": "sensor",
                "channels": list(CHANNELS),
                "units": list(UNITS),
                "rate_hz": config.rate_hz,
                "max_steps": math.ceil(config.max_length_s * config.rate_hz),
            },
            "photo": {"kind": "image", "height": SIZE, "width": SIZE, "max_pixels": SIZE * SIZE},
            "note": {
                "kind": "text",
                "max_tokens": _MAX_TOKENS,
                "vocabulary_size": 512,
                "tokenizer": "trained",
                "max_characters": _MAX_CHARACTERS,
            },
        },
        "groups": {"subject": "subject", "device": "device", "session": "session"},
        "labels": {"activity": "activity", "tag": "tag"},
        **({"step_labels": {"gesture": _gesture(config)}} if config.gesture_steps else {}),
        "start": {"column": "start_ns", "unit": "ns"},
        "split": {"kind": "groups", "group": "subject", "fractions": {"validation": 0.125, "test": 0.25}},
    }


def _gesture(config: PlantedConfig) -> dict[str, object]:
    return {
        "stream": "imu",
        "source": {
            "kind": "csv",
            "path": "steps/{key}.csv",
            "channels": ["gesture"],
            "rate_hz": config.rate_hz,
            "time": {"column": "time_ns", "unit": "ns", "clock": "utc"},
        },
        "classes": {str(number): name for number, name in enumerate(("rest", *GESTURES))},
    }
