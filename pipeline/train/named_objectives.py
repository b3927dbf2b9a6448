"""The objectives of a recipe under the names that their metrics carry."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.objectives.spec import ObjectiveConfig


@dataclass(frozen=True)
class NamedObjective:
    """An objective of the recipe with the name its metrics carry, the streams it reads, and its place in the recipe."""

    name: str
    config: ObjectiveConfig
    streams: tuple[str, ...]
    field: str = "objectives"


def name_objectives(configs: Sequence[ObjectiveConfig], streams: Sequence[str]) -> list[NamedObjective]:
    """Names are the kinds, numbered from the second of a kind on. An objective of weight 0 is left out.

    Raises ConfigError for an unknown stream, for too few streams, and where nothing is left.
    """
    named: list[NamedObjective] = []
    for position, config in enumerate(configs):
        unknown = set(config.streams or ()) - set(streams)
        if unknown:
            raise ConfigError(
                f"objectives.{position}.streams names unknown streams",
                code="CONFIG_STREAM",
                field=f"objectives.{position}.streams",
                expected=sorted(streams),
                got=sorted(unknown),
            )
        read = config.streams or tuple(streams)
        if len(read) < config.least_streams:
            raise ConfigError(
                f"objectives.{position} compares streams with each other",
                code="CONFIG_STREAM",
                field=f"objectives.{position}.streams",
                expected=f"at least {config.least_streams}",
                got=list(read),
                fix="name more streams, or leave the objective out",
            )
        earlier = sum(_kind(objective) == _kind(config) for objective in configs[:position])
        name = _kind(config) if earlier == 0 else f"{_kind(config)}_{earlier + 1}"
        if config.weight > 0:
            named.append(NamedObjective(name, config, read, f"objectives.{position}"))
    if not named:
        raise ConfigError("every objective has weight 0", code="CONFIG_VALUE", field="objectives", expected="> 0")
    return named


def _kind(config: ObjectiveConfig) -> str:
    return str(getattr(config, "kind", type(config).__name__))


def memory_source(named: Sequence[NamedObjective], name: str | None) -> NamedObjective:
    """The objective whose projector fills the memory: the one of that name, or the first that reads pooled features.

    Raises ConfigError where there is none: a memory of features that nothing else trains agrees with itself only.
    """
    pooled = [objective for objective in named if objective.config.reads == "pooled"]
    chosen = [objective for objective in pooled if name in (None, objective.name)]
    if not chosen:
        raise ConfigError(
            "no objective fills the memory",
            code="CONFIG_MEMORY",
            field="memory.source",
            expected=[objective.name for objective in pooled] or "an objective such as intra or cross",
            got=name,
            fix="add an intra or cross objective, and name it in memory.source where there are several",
        )
    return chosen[0]
