"""YAML as people mean it: the JSON-like core of YAML 1.2, with duplicate keys, tags and aliases refused.

Plain PyYAML reads `no` as False, `1:30` as 90, `010` as 8 and `1e-3` as a string, keeps the last of two equal keys
and expands alias bombs.
"""

import re
from collections.abc import Hashable
from pathlib import Path

import yaml
from pydantic import JsonValue

from pipeline.errors import ConfigError

MAX_CHARACTERS = 1_000_000


class _Loader(yaml.SafeLoader):
    """SafeLoader with the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, JsonValue]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not text: quote it", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_CORE = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", "~nN"),
    "tag:yaml.org,2002:int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
    ),
}
for _tag, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])


def parse_yaml(text: str, *, source: str) -> JsonValue:
    """Parse one document. Raises ConfigError with the line."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"{source} is too large", code="CONFIG_SIZE", expected=f"<= {MAX_CHARACTERS} characters", got=len(text)
        )
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(
            f"{source}{where}: {problem}", code="CONFIG_YAML", fix="write plain YAML without tags, aliases or twin keys"
        ) from error


def load_yaml(path: Path) -> JsonValue:
    """Parse a file. Raises ConfigError when it is missing, not UTF-8 or not plain YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"no such file: {path} ({error.strerror})"
        raise ConfigError(message, code="CONFIG_FILE", fix="check the path of the recipe") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})", code="CONFIG_ENCODING") from error
    except ValueError as error:  # a NUL or a surrogate in the path
        message = f"no file can be called {str(path)!r}"
        raise ConfigError(message, code="CONFIG_FILE", field="recipe", fix="check the path of the recipe") from error
    return parse_yaml(text, source=str(path))
