"""What objectives may know about samples beyond their signals: memory, relations, time, groups.

Positions are numbers 0..n-1 of the pretraining rows, in ascending idx; nothing here knows samples of another split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pipeline.data.rows import Rows
from pipeline.memory.diagnostics import agreement
from pipeline.memory.memory import Memory
from pipeline.objectives.inter import InterSample
from pipeline.objectives.relational import Relational
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.relations.relation import Relation
from pipeline.train.linked_rows import Domain, linked_rows
from pipeline.types import Embeddings, Keys, Links, Mined

_NO_CONTENT = -(1 << 62)  # the hash of no payload


@dataclass(frozen=True)
class Surroundings:
    """Of the pretraining rows: spans (n, 3) int64 record, start and end in ns; columns of group and label numbers (n,)
    int64, -1 where unknown. label: the column that evaluation predicts; training never reads it."""

    rows: Rows
    spans: np.ndarray
    seed: int
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    label: str | None = None
    relations: Mapping[str, Relation] = field(default_factory=dict)
    memory: Memory | None = None

    @cached_property
    def _linked(self) -> dict[str, np.ndarray]:
        return {name: relation.degree() > 0 for name, relation in self.relations.items()}

    @property
    def known(self) -> frozenset[str]:
        """Needs of objectives that can be met."""
        found = {"links"} if self.relations else set()
        if self.memory is not None:
            found |= {"mined", "clusters"}
            found |= {"keys"} if self.memory.config.encoder_momentum is not None else set()
        return frozenset(found)

    def around(
        self, embeddings: Embeddings, config: ObjectiveConfig, *, keys: Mapping[str, Tensor], step: int
    ) -> Embeddings:
        """The embeddings with what this objective needs, drawn for this step. Collective.

        keys: stream -> (B, d) momentum keys of this batch.
        """
        positions, streams = self.rows.find(embeddings.idx.cpu().numpy()), list(embeddings.present)
        device, memory = embeddings.idx.device, self.memory
        found = replace(embeddings, spans=torch.from_numpy(self.spans[positions]).to(device))
        if "links" in config.needs and config.related is not None:
            found = replace(found, links=self._links(config, positions, device))
        if memory is None:
            return found
        if "clusters" in config.needs and memory.active:
            found = replace(found, clusters={s: memory.clusters(s, embeddings.idx) for s in streams})
        if "mined" in config.needs:
            found = replace(found, mined=self._mined(memory, found, config, step=step))
        if "keys" in config.needs:
            found = replace(found, keys={s: self._keys(memory, s, keys[s]) for s in streams if s in keys})
        return found

    def _mined(self, memory: Memory, embeddings: Embeddings, config: ObjectiveConfig, *, step: int) -> dict[str, Mined]:
        idx, streams = embeddings.idx, list(embeddings.present)
        if isinstance(config, Relational):
            relation, domain = self.relations[config.relation], self._domain(config)
            return {s: linked_rows(memory, relation, s, idx, domain=domain, step=step) for s in streams}
        if not isinstance(config, InterSample) or not memory.active:
            return {}
        return {
            s: memory.mine(s, idx, labels=config.labels, granularity=config.granularity, step=step) for s in streams
        }

    def _links(self, config: ObjectiveConfig, positions: np.ndarray, device: torch.device) -> Links:
        weight = self.relations[str(config.related)].linked(positions)
        domain = positions[:, None] != positions[None, :]
        if isinstance(config, Relational):
            domain &= self._domain(config).allows(positions, positions)
        return Links(torch.from_numpy(weight).to(device), torch.from_numpy(domain).to(device))

    def _domain(self, config: Relational) -> Domain:
        same, other = config.negatives.same, config.negatives.other
        return Domain(
            self._linked[config.relation],
            None if same is None else self.columns[same],
            None if other is None else self.columns[other],
        )

    def _keys(self, memory: Memory, stream: str, keys: Tensor) -> Keys:
        """The queue keeps no payload hashes: windows of one record are told apart by time alone."""
        queue, rows = memory.queues[stream], memory.keys(stream)
        spans = torch.from_numpy(self.spans[queue.positions[: queue.filled].cpu().numpy()]).to(keys.device)
        content = torch.full((len(rows),), _NO_CONTENT, device=keys.device)
        return Keys(keys, rows, content=content, spans=spans)

    def classes(self, device: torch.device) -> Tensor | None:
        """Class number (n,) of the label of each row, -1 unknown, for monitors only; None where there is no label."""
        if self.label is None or self.label not in self.columns:
            return None
        return torch.from_numpy(self.columns[self.label]).to(device)

    def agreement(self) -> dict[str, float]:
        """How much the pseudo-labels of each space follow each column: "<space>/nmi_<column>" and "ami"."""
        if self.memory is None or not self.memory.active:
            return {}
        found: dict[str, float] = {}
        for name, space in self.memory.spaces.items():
            labels = space.labels()
            for column, numbers in self.columns.items():
                values = agreement(labels, numbers)
                found |= {f"{name}/{figure}_{column}": value for figure, value in values.items()}
        return found
