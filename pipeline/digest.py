"""Bytes that equal documents share, and the hash of bytes."""

import hashlib
import json


def canonical_json(value: object) -> bytes:
    """Sorted, compact UTF-8 JSON: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
