"""Toy samples with a memory, relations and times: everything an objective may ask for."""

import numpy as np
import torch

from modalities.spec import Modality
from pipeline.data.rows import RangeRows
from pipeline.memory.config import ClustersConfig, MemoryConfig
from pipeline.memory.memory import Memory
from pipeline.memory.runtime import Runtime
from pipeline.objectives.inter import InterSample
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.meta_path_views import MetaPathViews
from pipeline.objectives.momentum_keys import MomentumKeys
from pipeline.objectives.relational import NegativeDomain, Relational
from pipeline.objectives.spec import ObjectiveConfig, Projection
from pipeline.relations.cliques import cliques
from pipeline.train.named_objectives import name_objectives
from pipeline.train.pretraining import Pretraining
from pipeline.train.surroundings import Surroundings
from pipeline.worker import Worker
from tests.toy_streams import NoisyView, TinyEncoder

HEAD = Projection(hidden=8, dim=4)
OBJECTIVES: list[ObjectiveConfig] = [
    MomentumKeys(projection=HEAD),
    IntraSample(projection=HEAD, false_negatives=True),
    InterSample(weight=0.5),
    InterSample(weight=0.5, labels="fused", granularity=1, positives="many", spread=0.1, pairwise=0.1),
    Relational(relation="fifth", projection=HEAD, pairs="both", negatives=NegativeDomain(other="half")),
    Relational(relation="fifth", mode="bank", form="contrastive"),
    MetaPathViews(relation="fifth", projection=HEAD, prototypes=0.5),
]
MEMORY = MemoryConfig(
    spaces="both",
    dtype="float16",
    momentum=0.5,
    encoder_momentum=0.9,
    queue=12,
    clusters=ClustersConfig(num=(3, 5), min_cluster=2, refresh_every=3),
    candidates=32,
)


def toy_surroundings(
    worker: Worker, *, num_samples: int, memory: MemoryConfig = MEMORY, device: torch.device | None = None
) -> Surroundings:
    """Samples in records of four windows, of which neighbours overlap in time; linked with every fifth."""
    runtime = Runtime(worker, 0, device or torch.device("cpu"))
    rows, numbers = RangeRows(0, num_samples), np.arange(num_samples)
    spans = np.stack([numbers // 4, numbers % 4 * 10, numbers % 4 * 10 + 15], axis=1)
    return Surroundings(
        rows=rows,
        spans=spans,
        seed=0,
        columns={"half": numbers % 2, "fifth": numbers % 5},
        label="fifth",
        relations={"fifth": cliques(numbers % 5)},
        memory=Memory(memory, rows, streams=("a", "b"), dim=HEAD.dim, spans=spans, runtime=runtime),
    )


def toy_remembering(
    worker: Worker, *, num_samples: int, seed: int = 0, device: torch.device | None = None
) -> Pretraining:
    """Two toy streams with every objective that looks beyond the batch."""
    torch.manual_seed(seed)
    streams = {name: Modality(codec=None, augment=NoisyView(), encoder=TinyEncoder()) for name in ("a", "b")}  # type: ignore[arg-type]
    named = name_objectives(OBJECTIVES, list(streams))
    return Pretraining(
        streams,
        named,
        seed=seed,
        surroundings=toy_surroundings(worker, num_samples=num_samples, device=device),  # type: ignore[arg-type]
    )
