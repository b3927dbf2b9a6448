"""kindred explain: every recipe key with its type, default and meaning, read from the code."""

import re

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from jobs._console import plain_table
from jobs._standard_streams import write_output
from jobs.catalogue import head_rows, objective_rows
from jobs.configs import Recipe
from pipeline.config import walk_fields
from pipeline.errors import ConfigError


def explain(prefix: str) -> None:
    """Print the keys that start with `prefix`, below the catalogue where the objectives or heads are asked for.

    Raises ConfigError when there is none.
    """
    rows = [
        (path, _type_name(info), _default(info), info.description or "")
        for path, info in walk_fields(Recipe)
        if path.startswith(prefix)
    ]
    if not rows:
        raise ConfigError(f"no recipe key starts with {prefix!r}", code="CONFIG_UNKNOWN_KEY", got=prefix)
    for start, catalogue in (("objectives", objective_rows), ("finetune.head", head_rows)):
        if prefix == start:
            write_output(plain_table(catalogue(), left=8) + "\n\n")
    write_output(plain_table([("key", "type", "default", "meaning"), *rows], left=4) + "\n")


def _type_name(info: FieldInfo) -> str:
    annotation = info.annotation
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    name = re.sub(r"\b(?:typing|pipeline|modalities|jobs|annotated_types)\.(?:\w+\.)*", "", name)
    return name if len(name) <= 48 else f"{name[:45]}..."


def _default(info: FieldInfo) -> str:
    if info.default is PydanticUndefined:
        return "required"
    text = str(info.default) if not isinstance(info.default, BaseModel) else "see below"
    return text if len(text) <= 40 else f"{text[:37]}..."
