"""kindred explain: every recipe key with its type, default and meaning, and every objective, read from the code."""

import re
import sys
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from torch import nn

from jobs._console import plain_table
from jobs.configs import Recipe
from pipeline.config import walk_fields
from pipeline.errors import ConfigError
from pipeline.objectives.catalogue import AnyObjective
from pipeline.objectives.spec import ObjectiveConfig


def explain(prefix: str) -> None:
    """Print the keys that start with `prefix`, below the objectives where these are asked for.

    Raises ConfigError when there is none.
    """
    rows = [
        (path, _type_name(info), _default(info), info.description or "")
        for path, info in walk_fields(Recipe)
        if path.startswith(prefix)
    ]
    if not rows:
        raise ConfigError(f"no recipe key starts with {prefix!r}", code="CONFIG_UNKNOWN_KEY", got=prefix)
    if prefix == "objectives":
        sys.stdout.write(plain_table(objective_rows(), left=8) + "\n\n")
    sys.stdout.write(plain_table([("key", "type", "default", "meaning"), *rows], left=4) + "\n")


def objective_rows() -> list[tuple[str, ...]]:
    """Every objective of the union: kind, family, papers, what it reads, needs and learns itself, its file."""
    members: list[type[ObjectiveConfig]] = list(get_args(get_args(AnyObjective)[0]))
    return [("kind", "family", "arXiv", "reads", "needs", "views", "own parameters", "file"), *map(_objective, members)]


def _objective(member: type[ObjectiveConfig]) -> tuple[str, ...]:
    settings = _settings(member)
    optional = set().union(*(each.needs for each in settings)) - settings[0].needs
    return (
        str(member.model_fields["kind"].default),
        member.family,
        " ".join(dict.fromkeys(re.findall(r"arXiv\s(\d{4}\.\d{5})", member.__doc__ or ""))),
        " or ".join(dict.fromkeys(each.reads for each in settings)),
        ", ".join([*sorted(settings[0].needs), *(f"({need})" for need in sorted(optional))]) or "-",
        " or ".join(dict.fromkeys(str(each.num_views) for each in settings)),
        "yes" if _learns(settings[0]) else "-",
        member.__module__.replace(".", "/") + ".py",
    )


def _settings(member: type[ObjectiveConfig]) -> list[ObjectiveConfig]:
    """The defaults, then each other choice of one key: what is needed only by choice is shown in brackets."""
    required = {name: "name" for name, info in member.model_fields.items() if info.is_required()}
    chosen: list[dict[str, object]] = [{}]
    for name, info in member.model_fields.items():
        values = (False, True) if info.annotation is bool else get_args(info.annotation)
        if info.annotation is bool or get_origin(info.annotation) is Literal:
            chosen.extend({name: value} for value in values if value != info.default)
    return [member.model_validate({**required, **choice}) for choice in chosen]


def _learns(config: ObjectiveConfig) -> bool:
    loss = config.build(("one", "other"))
    return isinstance(loss, nn.Module) and any(True for _ in loss.parameters())


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
