"""Recipes: YAML + dotted overrides -> typed configuration, with every problem reported at once.

Source of the design: one frozen pydantic model per job, closed tagged unions, unknown keys refused.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from modalities.spec import Config
from pipeline.credentials import names_secret, redact
from pipeline.errors import ConfigError, KindredError, Problems
from pipeline.strict_yaml import load_yaml, parse_yaml

ConfigT = TypeVar("ConfigT", bound=Config)


_PLAIN_WITH_HASH = re.compile(r"(?!\s*[\"'\[{])(.*\s)?#", re.DOTALL)
"""A value of the command line in which YAML would take the rest, perhaps of a folder's name, for a comment."""


_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")
"""No file name holds the one, no file in UTF-8 the others, and a recipe is written down."""


def load_config(kind: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a recipe, apply `a.b.0.c=value` overrides, validate. Raises ConfigError or Problems."""
    document = load_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(
            f"{path} must hold a mapping", code="CONFIG_TYPE", expected="mapping", got=type(document).__name__
        )
    return build_config(kind, document, overrides)


def build_config(kind: type[ConfigT], document: dict[str, JsonValue], overrides: Sequence[str] = ()) -> ConfigT:
    """Validate a parsed document with overrides applied. Raises Problems naming every bad key."""
    problems: list[KindredError] = []
    for override in overrides:
        try:
            _apply(document, override)
        except ConfigError as error:
            problems.append(error)
    secrets: list[KindredError] = [_secret(path) for path, text in _texts(document) if redact(text) != text]
    if secrets:
        raise Problems(secrets)  # at once: other problems would quote the text
    problems += [_unspeakable(path, text) for path, text in _texts(document) if _UNSPEAKABLE.search(path + text)]
    try:
        config = kind.model_validate(document)
    except ValidationError as error:
        problems += [_explain(kind, details) for details in error.errors()]
        raise Problems(problems) from error
    if problems:
        raise Problems(problems)
    return config


def _texts(node: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document with its dotted path."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(value, f"{path}.{name}" if path else str(name))


def _unspeakable(path: str, text: str) -> ConfigError:
    return ConfigError(
        f"{path} holds a NUL character or half a surrogate pair",
        code="CONFIG_TEXT",
        field=path,
        fix="write the character itself, in UTF-8",
    )


def _secret(path: str) -> ConfigError:
    return ConfigError(
        f"{path} holds a credential, and a recipe is recorded in the run folder and in MLflow",
        code="CONFIG_SECRET",
        field=path,
        fix="hand it over in the environment, e.g. MLFLOW_TRACKING_URI (on a cluster: --secret MLFLOW_TRACKING_URI)",
    )


def _apply(document: dict[str, JsonValue], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"override {override!r} is not KEY=VALUE", code="CONFIG_OVERRIDE", fix="write a.b.0.c=value")
    node: JsonValue = document
    *parents, last = path.split(".")
    for part in parents:
        node = _child(node, part, path)
    value = text if _PLAIN_WITH_HASH.match(text) else parse_yaml(text, source=f"override {path}")
    if isinstance(node, list):
        node[_position(node, last, path)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise ConfigError(f"{path}: {last} is below a plain value", code="CONFIG_OVERRIDE")


def _child(node: JsonValue, part: str, path: str) -> JsonValue:
    if isinstance(node, list):
        return node[_position(node, part, path)]
    if isinstance(node, dict):
        if not isinstance(node.get(part), dict | list):
            node[part] = {}
        return node[part]
    raise ConfigError(f"{path}: {part} is below a plain value", code="CONFIG_OVERRIDE")


def _position(items: list[JsonValue], part: str, path: str) -> int:
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    raise ConfigError(
        f"{path}: no list entry {part}", code="CONFIG_OVERRIDE", expected=f"0..{len(items) - 1}", got=part
    )


def _explain(kind: type[Config], details: ErrorDetails) -> ConfigError:
    loc = details["loc"]
    path = ".".join(str(part) for position, part in enumerate(loc) if not _is_tag(kind, loc[:position], part))
    if details["type"] == "extra_forbidden":
        name, known = str(loc[-1]), _keys_at(kind, loc[:-1])
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(known)}"
        got = "***" if names_secret(path) else _short(details)
        return ConfigError(f"unknown key {path}", code="CONFIG_UNKNOWN_KEY", field=path, got=got, fix=fix)
    code = "CONFIG_MISSING" if details["type"] == "missing" else "CONFIG_VALUE"
    got = None if details["type"] == "missing" else _short(details)
    fix = _nearest_tag(kind, details) or _bound(details)
    return ConfigError(f"{path}: {details['msg']}", code=code, field=path, got=got, fix=fix)


def _bound(details: ErrorDetails) -> str:
    """Which values are allowed instead; "" for what is no number out of its range."""
    signs = {"le": "<=", "ge": ">=", "lt": "<", "gt": ">"}
    found = [f"{signs[name]} {limit}" for name, limit in details.get("ctx", {}).items() if name in signs]
    return f"choose a value {found[0]}" if found else ""


def _nearest_tag(kind: type[Config], details: ErrorDetails) -> str:
    """What an unknown `kind` was perhaps meant to be; "" for other mistakes, and where nothing is near."""
    if details["type"] != "union_tag_invalid":
        return ""
    known = [str(tag) for model in _models_at(kind, details["loc"]) for tag in _tags(model)]
    near = difflib.get_close_matches(str(details.get("ctx", {}).get("tag")), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def _short(details: ErrorDetails) -> str:
    text = repr(details["input"])
    return text if len(text) <= 80 else text[:77] + "..."


def _keys_at(kind: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Valid keys of the model that `loc` points to."""
    return sorted({name for model in _models_at(kind, loc) for name in model.model_fields})


def _is_tag(kind: type[BaseModel], loc: Sequence[int | str], part: int | str) -> bool:
    """True where pydantic put the tag of a union member into the path, which the user never wrote."""
    models = _models_at(kind, loc)
    return len(models) > 1 and part in {tag for model in models for tag in _tags(model)}


def _models_at(kind: type[BaseModel], loc: Sequence[int | str]) -> list[type[BaseModel]]:
    models: list[type[BaseModel]] = [kind]
    for part in loc:
        tagged = [model for model in models if len(models) > 1 and part in _tags(model)]
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = tagged or [member for info in fields for member in _models(info.annotation)] or models
    return models


def _tags(model: type[BaseModel]) -> tuple[object, ...]:
    return get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def walk_fields(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a configuration with its dotted path; union members appear as `path[kind]`."""
    for name, info in kind.model_fields.items():
        path = f"{prefix}{name}"
        yield path, info
        members = list(_models(info.annotation))
        for member in members:
            tag = get_args(member.model_fields["kind"].annotation)[0] if "kind" in member.model_fields else None
            yield from walk_fields(member, f"{path}[{tag}]." if tag and len(members) > 1 else f"{path}.")


def to_json(config: Config) -> dict[str, JsonValue]:
    """The resolved configuration as JSON values."""
    return TypeAdapter(dict[str, JsonValue]).validate_json(config.model_dump_json(by_alias=True))
