"""A manifest that was changed on purpose, with a hash that is right again."""

import json

from pydantic import JsonValue, ValidationError

from pipeline.data.manifest import Manifest


def signed(document: dict[str, JsonValue]) -> str:
    """The text of a manifest with these values; what is no manifest has no hash."""
    try:
        return Manifest.model_validate({name: value for name, value in document.items() if name != "sha256"}).to_text()
    except ValidationError:
        return json.dumps(document)
