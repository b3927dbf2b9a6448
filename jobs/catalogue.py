"""The catalogues of objectives and heads, read from the members of their unions."""

import re
from typing import Literal, TypeVar, get_args, get_origin

from torch import nn

from modalities.spec import Config
from pipeline.heads.catalogue import AnyHead
from pipeline.heads.spec import HeadConfig
from pipeline.objectives.catalogue import AnyObjective
from pipeline.objectives.reconstruction import Reconstruction
from pipeline.objectives.spec import ObjectiveConfig

C = TypeVar("C", bound=Config)


def objective_rows() -> list[tuple[str, ...]]:
    """Every objective of the union: kind, family, papers, what it reads, needs and learns itself, its file."""
    members: list[type[ObjectiveConfig]] = list(get_args(get_args(AnyObjective)[0]))
    header = ("kind", "family", "arXiv", "reads", "needs", "views", "own parameters", "file")
    return [header, *map(_objective, members)]


def head_rows() -> list[tuple[str, ...]]:
    """Every head of the union: kind, papers, what it looks at beside the logits, its file."""
    members: list[type[HeadConfig]] = list(get_args(get_args(AnyHead)[0]))
    return [("kind", "arXiv", "looks at", "class loss", "file"), *map(_head, members)]


def _objective(member: type[ObjectiveConfig]) -> tuple[str, ...]:
    settings = _settings(member)
    optional = set().union(*(each.needs for each in settings)) - settings[0].needs
    return (
        str(member.model_fields["kind"].default),
        member.family,
        _papers(member),
        " or ".join(dict.fromkeys(each.reads for each in settings)),
        ", ".join([*sorted(settings[0].needs), *(f"({need})" for need in sorted(optional))]) or "-",
        " or ".join(dict.fromkeys(str(each.num_views) for each in settings)),
        _own_parameters(settings[0]),
        _file(member),
    )


def _head(member: type[HeadConfig]) -> tuple[str, ...]:
    looks = ["features"] * member.reads_features + [f"{member.num_views} views"] * (member.num_views > 1)
    looks += ["attributes"] * (member.attribute_columns is not HeadConfig.attribute_columns)
    own = "as configured" if member.reads_class_loss else "its own"
    return (str(member.model_fields["kind"].default), _papers(member), ", ".join(looks) or "-", own, _file(member))


def _papers(member: type[Config]) -> str:
    return " ".join(dict.fromkeys(re.findall(r"arXiv\s+(\d{4}\.\d{5})", member.__doc__ or "")))


def _file(member: type[Config]) -> str:
    return member.__module__.replace(".", "/") + ".py"


def _settings(member: type[C]) -> list[C]:
    """The defaults, then each other choice of one key: what is needed only by choice is shown in brackets."""
    required = {name: "name" for name, info in member.model_fields.items() if info.is_required()}
    chosen: list[dict[str, object]] = [{}]
    for name, info in member.model_fields.items():
        values = (False, True) if info.annotation is bool else get_args(info.annotation)
        if info.annotation is bool or get_origin(info.annotation) is Literal:
            chosen.extend({name: value} for value in values if value != info.default)
    return [member.model_validate({**required, **choice}) for choice in chosen]


def _own_parameters(config: ObjectiveConfig) -> str:
    loss = config.build(("one", "other"))
    if isinstance(loss, nn.Module) and any(True for _ in loss.parameters()):
        return "yes"
    return "for texts" if isinstance(config, Reconstruction) else "-"
