"""Everything that an objective will ask for exists, before the first step."""

from pipeline.errors import ConfigError
from pipeline.memory.memory import Memory
from pipeline.objectives.inter import InterSample
from pipeline.objectives.momentum_keys import MomentumKeys
from pipeline.objectives.relational import Relational
from pipeline.train.named_objectives import NamedObjective
from pipeline.train.surroundings import Surroundings


def check_objective(objective: NamedObjective, source: NamedObjective | None, around: Surroundings | None) -> None:
    """Raises ConfigError that names the key of the recipe. source: the objective that fills the memory."""
    config = objective.config
    known = frozenset() if around is None else around.known
    if lacking := sorted(config.needs - known):
        raise ConfigError(
            f"objective {objective.name} needs {', '.join(lacking)}",
            code="CONFIG_MEMORY",
            field=objective.field,
            expected=sorted(config.needs),
            got=sorted(known),
            fix="keys need memory.encoder_momentum, links a declared relation, the others a memory",
        )
    if around is None:
        return
    if config.related is not None:
        _check_relation(objective, config.related, around)
    if isinstance(config, Relational):
        _check_domain(objective, config, around)
    if source is not None and around.memory is not None:
        _check_memory(objective, source, around.memory)


def _check_relation(objective: NamedObjective, name: str, around: Surroundings) -> None:
    if name not in around.relations:
        raise ConfigError(
            f"no relation {name!r}",
            code="CONFIG_RELATION",
            field=f"{objective.field}.relation",
            expected=sorted(around.relations),
            got=name,
            fix="declare it under relations",
        )
    if around.relations[name].num_links == 0:
        raise ConfigError(
            f"the relation {name!r} links no two training samples: the objective would learn nothing",
            code="CONFIG_RELATION",
            field=f"relations.{name}",
            fix="see `kindred relations`, or leave the objective out with weight 0",
        )


def _check_domain(objective: NamedObjective, config: Relational, around: Surroundings) -> None:
    allowed = sorted(around.columns.keys() - {around.label})
    for key, name in (("same", config.negatives.same), ("other", config.negatives.other)):
        if name is not None and name not in allowed:
            is_label = name == around.label
            raise ConfigError(
                "the label that is evaluated may not choose negatives"
                if is_label
                else "negatives go by a column that the data set has not",
                code="CONFIG_COLUMN",
                field=f"{objective.field}.negatives.{key}",
                expected=allowed,
                got=name,
                fix="name a group column",
            )


def _check_memory(objective: NamedObjective, source: NamedObjective, memory: Memory) -> None:
    config = objective.config
    if config.needs & {"mined", "clusters"} and (unknown := sorted(set(objective.streams) - set(source.streams))):
        raise ConfigError(
            f"objective {objective.name} looks up {unknown}, which {source.name} does not put into the memory",
            code="CONFIG_MEMORY",
            field=f"{objective.field}.streams",
            expected=sorted(source.streams),
            got=sorted(objective.streams),
            fix="name only these streams, or a memory.source that reads the others too",
        )
    if "keys" in config.needs and source.name != objective.name:
        raise ConfigError(
            f"{objective.name} compares momentum keys, which come from the memory's source",
            code="CONFIG_MEMORY",
            field="memory.source",
            expected=objective.name,
            got=source.name,
            fix=f"set memory.source to {objective.name}",
        )
    if isinstance(config, MomentumKeys) and memory.config.queue == 0:
        raise ConfigError(
            f"{objective.name} has no negatives without a queue",
            code="CONFIG_MEMORY",
            field="memory.queue",
            expected=">= 1",
            got=0,
            fix="set memory.queue, e.g. to 4096",
        )
    if isinstance(config, InterSample):
        _check_labels(objective, config, memory)


def _check_labels(objective: NamedObjective, config: InterSample, memory: Memory) -> None:
    spaces = sorted({"own", *memory.spaces, *memory.streams})
    if config.labels not in spaces:
        raise ConfigError(
            f"the memory has no pseudo-labels of {config.labels!r}",
            code="CONFIG_MEMORY",
            field=f"{objective.field}.labels",
            expected=spaces,
            got=config.labels,
            fix="name one of these; fused needs memory.spaces fused or both",
        )
    for stream in objective.streams:
        count = len(memory.space(stream, config.labels).granularities)
        if config.granularity >= count:
            raise ConfigError(
                f"the memory has {count} clusterings",
                code="CONFIG_MEMORY",
                field=f"{objective.field}.granularity",
                expected=f"0 to {count - 1}",
                got=config.granularity,
                fix="name more numbers in memory.clusters.num",
            )
