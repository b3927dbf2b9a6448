"""Hand-made embeddings with everything an objective may ask for, and configurations worth the contracts besides the
defaults."""

from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from modalities.spec import Patches
from pipeline.objectives.catalogue import AnyObjective
from pipeline.objectives.cocoa import Cocoa
from pipeline.objectives.contextual import Contextual
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.info_nce import precise
from pipeline.objectives.inter import InterSample
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.masked import Masked
from pipeline.objectives.meta_path_views import MetaPathViews
from pipeline.objectives.moments import Moments
from pipeline.objectives.neighbourhood import Neighbourhood
from pipeline.objectives.predictive import Predictive
from pipeline.objectives.reconstruction import Reconstruction
from pipeline.objectives.relational import Relational
from pipeline.objectives.spec import Objective, ObjectiveConfig, Projection
from pipeline.types import Embeddings, Keys, Links, Mined

MEMBERS: list[type[ObjectiveConfig]] = list(get_args(get_args(AnyObjective)[0]))
STREAMS = ("imu", "photo", "note")
BATCH, MOMENTS, DIM, CANDIDATES, CLUSTERS = 8, 6, 6, 40, 4

HEAD = Projection(hidden=8, dim=DIM)
REQUIRED: dict[str, str] = {"relation": "session"}
"""Values of keys that have no default."""

DEFAULTS = [
    member.model_validate(
        {"projection": HEAD} | {name: REQUIRED[name] for name in member.model_fields.keys() & REQUIRED}
    )
    for member in MEMBERS
]
_VARIANTS: list[ObjectiveConfig] = [
    IntraSample(false_negatives=True),
    CrossModal(false_negatives=True),
    InterSample(positives="many", sampling="random", spread=0.5, pairwise=0.5),
    InterSample(margin_form="arc", sampling="hard", negatives=3),
    InterSample(sampling="semieasy"),
    Relational(relation="session", form="contrastive", pairs="both"),
    Relational(relation="session", pairs="cross"),
    Relational(relation="session", mode="bank", mining=None),
    MetaPathViews(relation="session", prototypes=0.5, false_negatives=False),
    Neighbourhood(relation="session", pairs="both"),
    Neighbourhood(relation="session", pairs="cross"),
    Moments(soft=0.5),
    Cocoa(form="sum"),
    Contextual(future="own"),
    Masked(normalize_patches=True),
    Masked(decoded_from="imu"),
    Predictive(target="key"),
    Predictive(target="key", across="streams"),
    *(member.model_validate({"across": "streams"}) for member in MEMBERS if "across" in member.model_fields),
]

VARIANTS = [config.model_copy(update={"projection": HEAD}) for config in _VARIANTS]


def built(config: ObjectiveConfig, found: Embeddings) -> Objective:
    """The objective for these embeddings; what it learns itself starts as it always does."""
    torch.manual_seed(0)
    tokens = {s: DIM for s, patches in found.patches.items() if not patches.values.is_floating_point()}
    loss = config.build(STREAMS, tokens) if isinstance(config, Reconstruction) else config.build(STREAMS)
    z = found.views[STREAMS[0]]
    if isinstance(loss, nn.Module):
        loss.to(z.device, torch.float64 if z.dtype == torch.float64 else torch.float32)
    return loss


def own_parameters(loss: Objective) -> list[nn.Parameter]:
    """What an objective learns itself, such as predictors and prototypes."""
    return list(loss.parameters()) if isinstance(loss, nn.Module) else []


def inputs_of(found: Embeddings, config: ObjectiveConfig) -> dict[str, Tensor]:
    """What the objective compares, by stream."""
    if isinstance(config, Reconstruction):
        return {name: found.moments[name] for name in config.rebuilt(STREAMS)}
    return found.moments if config.reads == "moments" else found.views


def embeddings(config: ObjectiveConfig, *, dtype: torch.dtype = torch.float64, absent: bool = False) -> Embeddings:
    """A batch of eight: pairs (0, 1), (2, 3), ... are linked and share a pseudo-label; window 0 overlaps window 7."""
    generator = torch.Generator().manual_seed(3)
    views = max(2, config.num_views)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    present = {name: torch.ones(BATCH, dtype=torch.bool) for name in STREAMS}
    if absent:
        for offset, name in enumerate(STREAMS):
            present[name][offset::3] = False
    rows = torch.arange(BATCH)
    spans = torch.stack([rows, 0 * rows, 0 * rows + 10], dim=1)
    spans[7, 0] = 0
    found = Embeddings(
        idx=rows,
        views={name: draw(views, BATCH, DIM) for name in STREAMS},
        moments={name: draw(views, BATCH, MOMENTS, DIM) for name in STREAMS},
        moments_mask={name: torch.ones(BATCH, MOMENTS, dtype=torch.bool) for name in STREAMS},
        present=present,
        content={name: torch.arange(BATCH) for name in STREAMS},
        clusters={name: torch.stack([rows // 2, rows // 4], dim=1) for name in STREAMS},
        links=Links((rows[:, None] // 2 == rows // 2).float() - torch.eye(BATCH), ~torch.eye(BATCH, dtype=torch.bool)),
        spans=spans,
    )
    hidden = 2 * precise(found.moments[STREAMS[0]][0].detach())
    known = torch.ones_like(hidden, dtype=torch.bool)
    pattern = functional.normalize(found.views[STREAMS[0]][0].detach().float(), dim=1)
    queue = functional.normalize(torch.randn(CANDIDATES, DIM, generator=generator), dim=1)
    bank = functional.normalize(pattern[torch.arange(CANDIDATES) % BATCH] + 0.3 * queue, dim=1)
    keys = Keys(pattern, queue, content=torch.arange(CANDIDATES) + 4, spans=None)
    mined = {name: _mined(pattern, bank, present[name]) for name in STREAMS}
    patches = dict.fromkeys(STREAMS, Patches(hidden, known))
    patches["note"] = Patches(hidden.argmax(dim=2, keepdim=True), known[:, :, :1])  # tokens
    return replace(found, mined=mined, keys=dict.fromkeys(STREAMS, keys), patches=patches)


def _mined(pattern: Tensor, candidates: Tensor, present: Tensor) -> Mined:
    labels = torch.where(present, torch.arange(BATCH) // 2, -1)
    theirs = torch.arange(CANDIDATES) % BATCH // 2
    known = (labels >= 0)[:, None]
    different = known & (labels[:, None] != theirs)
    return Mined(pattern, present.clone(), candidates, different, labels[:, None] == theirs, labels, CLUSTERS)


def permuted(found: Embeddings, order: Tensor) -> Embeddings:
    """The same batch in another order."""
    assert found.links is not None
    assert found.spans is not None
    return Embeddings(
        idx=found.idx[order],
        views={name: z[:, order] for name, z in found.views.items()},
        moments={name: z[:, order] for name, z in found.moments.items()},
        moments_mask={name: mask[order] for name, mask in found.moments_mask.items()},
        patches={name: Patches(p.values[order], p.known[order]) for name, p in found.patches.items()},
        present={name: mask[order] for name, mask in found.present.items()},
        content={name: content[order] for name, content in found.content.items()},
        clusters={name: labels[order] for name, labels in found.clusters.items()},
        links=Links(found.links.weight[order][:, order], found.links.domain[order][:, order]),
        spans=found.spans[order],
        keys={name: replace(keys, keys=keys.keys[order]) for name, keys in found.keys.items()},
        mined={
            name: Mined(
                m.positive[order],
                m.has_positive[order],
                m.candidates,
                m.different[order],
                m.same[order],
                m.labels[order],
                m.num_clusters,
            )
            for name, m in found.mined.items()
        },
    )
