"""Views that lack what an objective asks for: the encoder sees a signal without its hidden patches.

Axes: B samples, S positions, P values of a patch.
"""

from collections.abc import Mapping

import torch
from torch import nn

from modalities.draws import Draws
from modalities.spec import PatchEncoder, Signal
from pipeline.errors import ConfigError
from pipeline.model import encode_present, scatter_rows
from pipeline.objectives.reconstruction import Reconstruction
from pipeline.objectives.spec import Projection
from pipeline.train.named_objectives import NamedObjective
from pipeline.train.task import Outputs


def patch_projections(objective: NamedObjective, encoders: Mapping[str, nn.Module]) -> dict[str, Projection]:
    """Projectors whose output is a patch of their stream. Raises ConfigError where an encoder has no patches."""
    found = {}
    for stream in objective.streams:
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
        found[stream] = objective.config.projection.model_copy(update={"dim": encoder.patching.width})
    return found


def guessed_patches(
    config: Reconstruction, encoder: nn.Module, head: nn.Module, signal: Signal, draws: Draws
) -> Outputs:
    """z (B, 1, S, P) guesses of every position; what they are of (B, S, P), 0 and unknown where nothing was hidden."""
    assert isinstance(encoder, PatchEncoder)  # noqa: S101 - checked when the task was made
    with torch.autocast(signal.present.device.type, enabled=False):  # targets are data: float32 in any precision
        patches = encoder.patching.patches(signal)
        hidden = config.hidden(patches.known.any(dim=2), draws)
        view = encoder.patching.hide(signal, hidden)
    encoded = encode_present(encoder, view)
    asked = patches.known & hidden[:, :, None]
    values = torch.where(asked, patches.values, 0.0)
    z = torch.zeros_like(values) if encoded is None else scatter_rows(head(encoded.sequence).float(), signal.present)
    return {"z": z[:, None], "patches": values, "asked": asked}
