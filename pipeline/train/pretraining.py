"""Self-supervised pretraining as a Task: views -> encoders -> projectors -> objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modalities.draws import Draws
from modalities.spec import Augment, Encoded, Modality, Signal
from pipeline.errors import ConfigError
from pipeline.model import PretrainModel, encode_present, scatter_rows
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.train.health import embedding_health
from pipeline.train.task import Outputs
from pipeline.types import Batch, Embeddings, LossTerms


@dataclass(frozen=True)
class NamedObjective:
    """An objective of the recipe with the name its metrics carry and the streams it reads."""

    name: str
    config: ObjectiveConfig
    streams: tuple[str, ...]


def name_objectives(configs: Sequence[ObjectiveConfig], streams: Sequence[str]) -> list[NamedObjective]:
    """Names are the kinds, numbered from the second of a kind on. Raises ConfigError for an unknown stream."""
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
        kind = str(getattr(config, "kind", type(config).__name__))
        earlier = sum(objective.name.split("_")[0] == kind for objective in named)
        name = kind if earlier == 0 else f"{kind}_{earlier + 1}"
        named.append(NamedObjective(name, config, config.streams or tuple(streams)))
    return named


class Pretraining:
    """The task the loop trains. Views are drawn by (seed, epoch, idx, view): never by rank or worker."""

    def __init__(self, modalities: Mapping[str, Modality], objectives: Sequence[NamedObjective], *, seed: int) -> None:
        self.named, self.seed = list(objectives), seed
        self.augments: dict[str, Augment] = {name: modality.augment for name, modality in modalities.items()}
        self._check_time()
        encoders = {name: modality.encoder for name, modality in modalities.items()}
        projections = {o.name: (o.config.projection, o.streams) for o in self.named}
        self.module = PretrainModel(encoders, projections)
        self.losses = {o.name: o.config.build(o.streams) for o in self.named}
        self.objectives = nn.ModuleDict({n: loss for n, loss in self.losses.items() if isinstance(loss, nn.Module)})

    def _check_time(self) -> None:
        for objective in self.named:
            moving = [s for s in objective.streams if objective.config.needs_time and not self.augments[s].keeps_time]
            if moving:
                raise ConfigError(
                    f"objective {objective.name} compares moments, but the augmentation of {moving} moves them in time",
                    code="CONFIG_AUGMENT",
                    field=f"streams.{moving[0]}.augment",
                    fix="keep only transforms that keep time (jitter, scaling, channel_dropout, time_mask, ...)",
                )

    def num_views(self, stream: str) -> int:
        """Views needed of a stream: the most any objective that reads it asks for."""
        return max(objective.config.num_views for objective in self.named if stream in objective.streams)

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        results: Outputs = {"idx": batch.idx}
        for stream in sorted({s for objective in self.named for s in objective.streams}):
            signal = batch.signals[stream]
            results[f"present/{stream}"], results[f"content/{stream}"] = signal.present, batch.content[stream]
            views = self.num_views(stream)
            encoded = self._encode(stream, signal, batch.idx, views=views, epoch=epoch)
            for objective in self.named:
                if stream in objective.streams:
                    results |= self._project(objective, stream, encoded, signal)
        return results

    def _encode(self, stream: str, signal: Signal, idx: Tensor, *, views: int, epoch: int) -> Encoded | None:
        augment, seed = self.augments[stream], self.seed
        made = [
            augment(signal, Draws.keyed(idx, seed=seed, purpose=f"view/{stream}", epoch=epoch, view=view))
            for view in range(views)
        ]
        mask = None if made[0].mask is None else torch.cat([v.mask for v in made if v.mask is not None])
        stacked = Signal(torch.cat([v.values for v in made]), mask, torch.cat([v.present for v in made]))
        return encode_present(self.module.encoders[stream], stacked)

    def _project(self, objective: NamedObjective, stream: str, encoded: Encoded | None, signal: Signal) -> Outputs:
        views = self.num_views(stream)
        present = signal.present.repeat(views)
        head = self.module.projectors[objective.name][stream]  # pyright: ignore[reportIndexIssue]
        moments = objective.config.reads == "moments"
        if encoded is None:
            shape = self._positions(stream, signal) if moments else ()
            z = torch.zeros(len(present), *shape, objective.config.projection.dim, device=present.device)
            mask = torch.zeros(len(present), *shape, dtype=torch.bool, device=present.device)
        else:
            z = scatter_rows(head(encoded.sequence if moments else encoded.pooled).float(), present)
            mask = scatter_rows(encoded.mask, present)
        found = {f"z/{objective.name}/{stream}": _samples_first(z, views)}
        if moments:
            found[f"mask/{objective.name}/{stream}"] = _samples_first(mask, views)[:, 0]
        return found

    @torch.no_grad()
    def _positions(self, stream: str, signal: Signal) -> tuple[int]:
        """S of a stream nobody has in this micro-batch: shapes may not depend on who holds what."""
        return (self.module.encoders[stream](signal.select(torch.zeros(1, dtype=torch.long))).mask.shape[1],)

    def embeddings(self, outputs: Outputs, objective: NamedObjective) -> Embeddings:
        """The gathered outputs as this objective sees them."""
        z = {s: outputs[f"z/{objective.name}/{s}"].transpose(0, 1) for s in objective.streams}
        moments = objective.config.reads == "moments"
        return Embeddings(
            idx=outputs["idx"],
            views={} if moments else z,
            moments=z if moments else {},
            moments_mask={s: outputs[f"mask/{objective.name}/{s}"] for s in objective.streams} if moments else {},
            present={s: outputs[f"present/{s}"] for s in objective.streams},
            content={s: outputs[f"content/{s}"] for s in objective.streams},
        )

    def loss(self, outputs: Outputs) -> LossTerms:
        terms = {}
        for objective in self.named:
            found = self.losses[objective.name](self.embeddings(outputs, objective))
            terms |= {f"{objective.name}/{name}": value for name, value in found.terms.items()}
        return LossTerms(terms)

    def total(self, terms: LossTerms) -> Tensor:
        """sum(w_i L_i) / sum(w_i), L_i the mean of an objective's terms (design.md 9.5)."""
        weighted = []
        for objective in self.named:
            own = [value for name, value in terms.terms.items() if name.startswith(f"{objective.name}/")]
            weighted.append(objective.config.weight * torch.stack(own).mean())
        return torch.stack(weighted).sum() / sum(objective.config.weight for objective in self.named)

    def monitors(self, outputs: Outputs) -> dict[str, float]:
        found: dict[str, float] = {}
        for objective in self.named:
            for stream in objective.streams:
                name = f"z/{objective.name}/{stream}"
                if objective.config.reads == "pooled" and not any(key.startswith(f"{stream}/") for key in found):
                    z = outputs[name][outputs[f"present/{stream}"]].detach()
                    found |= {f"{stream}/{key}": value for key, value in embedding_health(z).items()}
        return found


def _samples_first(stacked: Tensor, views: int) -> Tensor:
    """(V * B, ...) view-major -> (B, V, ...)."""
    return stacked.unflatten(0, (views, -1)).transpose(0, 1)
