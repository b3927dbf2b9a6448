"""Names and values as MLflow accepts them. Pure functions; what is changed stays recognisable and unique."""

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from pipeline.credentials import redact

MAX_NAME, MAX_PARAM, MAX_TAG, MAX_DIGEST = 250, 500, 5000, 36
_FORBIDDEN = re.compile(r"[^\w./ :-]")


def mlflow_name(name: str) -> str:
    """A valid metric, param, tag or artifact name; a changed one ends in a hash, so that two never become one.

    >>> mlflow_name("probe/imu/linear/10/accuracy")
    'probe/imu/linear/10/accuracy'
    >>> mlflow_name("recall@5")
    'recall_5_80191039'
    """
    parts = (part for part in _FORBIDDEN.sub("_", name).split("/") if part not in {"", ".", ".."})
    clean = "/".join(parts).lstrip("./")
    if clean == name and len(name) <= MAX_NAME and posixpath.normpath(name) == name:
        return name
    return f"{clean[: MAX_NAME - 9]}_{_hash(name)[:8]}"


def mlflow_text(value: JsonValue, limit: int) -> str:
    """A param or tag value: JSON for anything but text, cut with its length and hash where it is too long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = redact(text).encode("utf-8", "replace").decode()
    if len(text) <= limit:
        return text
    tail = f"... ({len(text)} characters, sha256 {_hash(text)[:16]})"
    return text[: limit - len(tail)] + tail


def mlflow_number(value: float) -> float:
    """Infinities become NaN: stores replace them by 1.8e308, which hides every other point of a chart."""
    return math.nan if math.isinf(value) else value


def flatten(document: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Leaves of a nested document with dotted names; lists of plain values stay whole."""
    for name, value in document.items():
        if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
            value = {str(position): entry for position, entry in enumerate(value)}
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
