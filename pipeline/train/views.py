"""Views of a stream, drawn by (seed, epoch, idx, view): never by rank or worker. Axes: B samples, V views."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from modalities.draws import Draws
from modalities.spec import Augment, Modality, Signal
from pipeline.errors import ConfigError
from pipeline.objectives.transformations import Transformations
from pipeline.train.named_objectives import NamedObjective

MakeView = Callable[[Signal, Draws], Signal]


def make_views(makers: Sequence[MakeView], signal: Signal, draws: Callable[[int], Draws]) -> Signal:
    """(V * B, ...) what each maker makes of the signal, view-major. draws: of each view."""
    with torch.autocast(signal.present.device.type, enabled=False):  # views are data: float32 in any precision
        made = [make(signal, draws(view)) for view, make in enumerate(makers)]
    observed = all(view.mask is None for view in made)
    mask = None if observed else torch.cat([_observed(view) for view in made])
    return Signal(torch.cat([v.values for v in made]), mask, torch.cat([v.present for v in made]))


def _observed(view: Signal) -> Tensor:
    return torch.ones_like(view.values, dtype=torch.bool) if view.mask is None else view.mask


def own_views(objective: NamedObjective, stream: str, modality: Modality) -> list[MakeView]:
    """What makes the views of an objective that does not share them: the signal as it is, then what it is compared
    with, an augmented view or each transform that is told apart. Raises ConfigError for an unknown transform.
    """
    if objective.config.reads == "original":
        return [_unchanged, modality.augment]
    return [_unchanged, *_recognised(objective, stream, modality.transforms)]


def _recognised(objective: NamedObjective, stream: str, known: Mapping[str, Augment]) -> list[Augment]:
    config = objective.config
    assert isinstance(config, Transformations)  # noqa: S101 - they alone read transforms
    if lacking := [name for name in config.transforms if name not in known]:
        raise ConfigError(
            f"objective {objective.name} is to recognise {', '.join(lacking)}, which {stream} has not",
            code="CONFIG_AUGMENT",
            field=f"{objective.field}.transforms",
            expected=sorted(known),
            got=list(config.transforms),
            fix="name transforms of the stream, or name other streams",
        )
    return [known[name] for name in config.transforms]


def _unchanged(signal: Signal, draws: Draws) -> Signal:
    return signal.scaled()
