"""Guesses of hidden patches: from what the encoder makes of the rest of their stream, or from another stream.

Axes: B samples, S positions, P values of a patch, or the size of what a token is told from.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from modalities.draws import Draws
from modalities.spec import PatchEncoder, Patches, Patching, Signal
from pipeline.errors import ConfigError
from pipeline.model import PretrainModel, encode_present, projector, scatter_rows
from pipeline.objectives.reconstruction import Reconstruction
from pipeline.objectives.spec import Objective, Projection
from pipeline.train.cross_decoder import CrossDecoder
from pipeline.train.named_objectives import NamedObjective
from pipeline.train.task import Outputs
from pipeline.types import Batch


def decoders(objective: NamedObjective, encoders: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """What guesses the patches of each stream that is rebuilt, from features of it or of the stream it is decoded from.

    Raises ConfigError where an encoder has no patches, and for a stream to decode from that is not there.
    """
    config = _reconstruction(objective)
    source, found = config.decoded_from, {}
    if source not in (None, *objective.streams):
        raise ConfigError(
            f"objective {objective.name} decodes from a stream that is not in the recipe",
            code="CONFIG_STREAM",
            field=f"{objective.field}.decoded_from",
            expected=list(objective.streams),
            got=source,
        )
    for stream in config.rebuilt(objective.streams):
        head = config.projection.model_copy(update={"dim": _size(config, _patching(objective, stream, encoders))})
        found[stream] = _decoder(encoders[stream if source is None else source], head, crossing=source is not None)
    return found


def reconstruction_loss(objective: NamedObjective, encoders: Mapping[str, nn.Module]) -> Objective:
    """The module of the objective, which classifies where patches are categories."""
    config = _reconstruction(objective)
    kinds = {s: _patching(objective, s, encoders).categories for s in config.rebuilt(objective.streams)}
    return config.build(objective.streams, {s: number for s, number in kinds.items() if number is not None})


def guessed_patches(
    objective: NamedObjective, stream: str, model: PretrainModel, batch: Batch, draws: Draws
) -> Outputs:
    """z (B, 1, S, P) guesses of every position; what they are of (B, S, P), 0 and unknown where nothing was hidden."""
    config, signal = _reconstruction(objective), batch.signals[stream]
    patching = _patching(objective, stream, model.encoders)
    with torch.autocast(signal.present.device.type, enabled=False):  # targets are data: float32 in any precision
        patches = patching.patches(signal)
        hidden = config.hidden(patches.known.any(dim=2), draws, patching)
        view = patching.hide(signal, hidden)
    asked, head = patches.known & hidden[:, :, None], model.projector(objective.name, stream)
    if config.decoded_from is None:
        guess = _from_context(model.encoders[stream], head, view)
    else:
        other = batch.signals[config.decoded_from]
        guess = _from_other(model.encoders[config.decoded_from], head, other, positions=hidden.shape[1])
        asked = asked & other.present[:, None, None]
    z = torch.zeros(*hidden.shape, _size(config, patching), device=hidden.device) if guess is None else guess
    return {"z": z[:, None], "patches": torch.where(asked, patches.values, 0), "asked": asked}


def asked_patches(objective: NamedObjective, outputs: Outputs) -> dict[str, Patches]:
    """What was hidden of each stream that is rebuilt; none for an objective that hides nothing."""
    return {
        stream: Patches(outputs[f"patches/{objective.name}/{stream}"], outputs[f"asked/{objective.name}/{stream}"])
        for stream in guessed_streams(objective)
        if objective.config.reads == "patches"
    }


def guessed_streams(objective: NamedObjective) -> tuple[str, ...]:
    """Streams that the objective compares embeddings of: those it reads, but for one that others are decoded from."""
    config = objective.config
    return config.rebuilt(objective.streams) if isinstance(config, Reconstruction) else objective.streams


def _from_context(encoder: nn.Module, head: nn.Module, view: Signal) -> Tensor | None:
    encoded = encode_present(encoder, view)
    return None if encoded is None else scatter_rows(head(encoded.sequence).float(), view.present)


def _from_other(encoder: nn.Module, head: nn.Module, signal: Signal, *, positions: int) -> Tensor | None:
    encoded = encode_present(encoder, signal)
    return None if encoded is None else scatter_rows(head(encoded.pooled, positions).float(), signal.present)


def _decoder(encoder: nn.Module, head: Projection, *, crossing: bool) -> nn.Module:
    width = int(encoder.width)  # pyright: ignore[reportArgumentType] - spec.Encoder
    return CrossDecoder(width, head) if crossing else projector(width, head)


def _size(config: Reconstruction, patching: Patching) -> int:
    """Of a guess: the patch itself, or an embedding that its category is told from."""
    return patching.width if patching.categories is None else config.projection.dim


def _reconstruction(objective: NamedObjective) -> Reconstruction:
    assert isinstance(objective.config, Reconstruction)  # noqa: S101 - they alone read patches
    return objective.config


def _patching(objective: NamedObjective, stream: str, encoders: Mapping[str, nn.Module] | nn.ModuleDict) -> Patching:
    encoder = encoders[stream]
    if not isinstance(encoder, PatchEncoder):
        raise ConfigError(
            f"objective {objective.name} hides patches, which the encoder of {stream} has not",
            code="CONFIG_STREAM",
            field=f"{objective.field}.streams",
            expected=[s for s in encoders if isinstance(encoders[s], PatchEncoder)],
            got=list(objective.streams),
            fix="name only streams whose encoder has patches",
        )
    return encoder.patching
