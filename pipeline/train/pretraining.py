"""Self-supervised pretraining as a Task: views -> encoders -> projectors -> objectives."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from modalities.draws import Draws
from modalities.spec import Augment, Encoded, Modality, Signal
from pipeline.errors import ConfigError
from pipeline.model import PretrainModel, encode_present, num_positions, projector, scatter_rows
from pipeline.objectives.info_nce import normalize
from pipeline.objectives.inter import InterSampleLoss
from pipeline.objectives.repel import entries_of
from pipeline.objectives.spec import Monitored, Source
from pipeline.train.false_negatives import false_negative_shares, mined_shares
from pipeline.train.health import embedding_health
from pipeline.train.hidden_patches import asked_patches, decoders, guessed_patches, guessed_streams, reconstruction_loss
from pipeline.train.kept_memory import KeptMemory
from pipeline.train.named_objectives import NamedObjective, memory_source
from pipeline.train.objective_checks import check_objective
from pipeline.train.surroundings import Surroundings
from pipeline.train.task import Outputs
from pipeline.train.views import make_views, own_views
from pipeline.types import Batch, Embeddings, LossTerms

_OWN_PASS: tuple[Source, ...] = ("patches", "transforms", "original")


class Pretraining:
    """The task the loop trains. Views are drawn by (seed, epoch, idx, view): never by rank or worker."""

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        objectives: Sequence[NamedObjective],
        *,
        seed: int,
        surroundings: Surroundings | None = None,
    ) -> None:
        """surroundings: what is known of samples beyond their signals; None where no objective needs it."""
        self.named, self.seed, self.surroundings = list(objectives), seed, surroundings
        self.augments: dict[str, Augment] = {name: modality.augment for name, modality in modalities.items()}
        self.own_views = {
            (o.name, s): own_views(o, s, modalities[s])
            for o in self.named
            if o.config.reads in ("transforms", "original")
            for s in o.streams
        }
        self._check_time()
        memory = None if surroundings is None else surroundings.memory
        self.source = None if memory is None else memory_source(self.named, memory.config.source)
        for objective in self.named:
            check_objective(objective, self.source, surroundings)
        encoders = {name: modality.encoder for name, modality in modalities.items()}
        heads = {o.name: _heads(o, encoders) for o in self.named if o.config.reads != "memory"}
        self.module = PretrainModel(encoders, heads)
        self.losses = {
            o.name: reconstruction_loss(o, encoders) if o.config.reads == "patches" else o.config.build(o.streams)
            for o in self.named
        }
        self.objectives = nn.ModuleDict({n: loss for n, loss in self.losses.items() if isinstance(loss, nn.Module)})
        self.kept = None if memory is None or self.source is None else KeptMemory(memory, self.source, self.module)

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
        """Views needed of a stream: the most any objective that reads it asks for; a momentum key is one more."""
        least = 2 if self.kept is not None and self.kept.momentum is not None else 0
        compared = [o.config.num_views for o in self.named if stream in o.streams and o.config.reads not in _OWN_PASS]
        return max([least, *compared]) if compared else 0

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        results: Outputs = {"idx": batch.idx}
        for stream in sorted({s for objective in self.named for s in objective.streams}):
            signal = batch.signals[stream]
            results[f"present/{stream}"], results[f"content/{stream}"] = signal.present, batch.content[stream]
            if self.num_views(stream) > 0:
                results |= self._of_views(stream, signal, batch.idx, epoch=epoch)
            for objective in self.named:
                if stream in guessed_streams(objective) and objective.config.reads in _OWN_PASS:
                    draws = self._draws(f"view/{objective.name}/{stream}", batch.idx, epoch)
                    results |= self._own_pass(objective, stream, batch, draws)
        return results

    def _draws(self, purpose: str, idx: Tensor, epoch: int) -> Callable[[int], Draws]:
        """Draws of each view."""
        return lambda view: Draws.keyed(idx, seed=self.seed, purpose=purpose, epoch=epoch, view=view)

    def _of_views(self, stream: str, signal: Signal, idx: Tensor, *, epoch: int) -> Outputs:
        results: Outputs = {}
        number = self.num_views(stream)
        views = make_views([self.augments[stream]] * number, signal, self._draws(f"view/{stream}", idx, epoch))
        encoded = encode_present(self.module.encoders[stream], views)
        for objective in self.named:
            if stream in objective.streams and objective.config.reads in ("pooled", "moments"):
                results |= self._project(objective, stream, encoded, signal, views=number)
        if self.kept is not None and stream in self.kept.streams:
            results |= self.kept.key(stream, views.select(torch.arange(len(views) - len(signal), len(views))))
        return results

    def _own_pass(self, objective: NamedObjective, stream: str, batch: Batch, draws: Callable[[int], Draws]) -> Outputs:
        """What is hidden or transformed for one objective is as ever for the others."""
        if objective.config.reads == "patches":
            found = guessed_patches(objective, stream, self.module, batch, draws(0))
            return {f"{key}/{objective.name}/{stream}": value for key, value in found.items()}
        makers, signal = self.own_views[objective.name, stream], batch.signals[stream]
        encoded = encode_present(self.module.encoders[stream], make_views(makers, signal, draws))
        return self._project(objective, stream, encoded, signal, views=len(makers))

    def _project(
        self, objective: NamedObjective, stream: str, encoded: Encoded | None, signal: Signal, *, views: int
    ) -> Outputs:
        present = signal.present.repeat(views)
        head = self.module.projector(objective.name, stream)
        moments = objective.config.reads == "moments"
        if encoded is None:
            shape = (num_positions(self.module.encoders[stream], signal),) if moments else ()
            z = torch.zeros(len(present), *shape, objective.config.projection.dim, device=present.device)
            mask = torch.zeros(len(present), *shape, dtype=torch.bool, device=present.device)
        else:
            z = scatter_rows(head(encoded.sequence if moments else encoded.pooled).float(), present)
            mask = scatter_rows(encoded.mask, present)
        found = {f"z/{objective.name}/{stream}": _samples_first(z, views)}
        if moments:
            found[f"mask/{objective.name}/{stream}"] = _samples_first(mask, views)[:, 0]
        return found

    def embeddings(self, outputs: Outputs, objective: NamedObjective, *, step: int) -> Embeddings:
        """The gathered outputs as this objective sees them at this step."""
        reader = self.source if objective.config.reads == "memory" and self.source is not None else objective
        z = {s: outputs[f"z/{reader.name}/{s}"].transpose(0, 1) for s in guessed_streams(objective)}
        reads, name = objective.config.reads, objective.name
        in_time = reads in ("moments", "patches")
        masks = objective.streams if reads == "moments" else ()
        found = Embeddings(
            idx=outputs["idx"],
            views={} if in_time else z,
            moments=z if in_time else {},
            moments_mask={s: outputs[f"mask/{name}/{s}"] for s in masks},
            patches=asked_patches(objective, outputs),
            present={s: outputs[f"present/{s}"] for s in objective.streams},
            content={s: outputs[f"content/{s}"] for s in objective.streams},
        )
        if self.surroundings is None:
            return found
        keys = {s: outputs[f"key/{s}"] for s in objective.streams if f"key/{s}" in outputs}
        return self.surroundings.around(found, objective.config, keys=keys, step=step)

    def loss(self, outputs: Outputs, *, step: int) -> LossTerms:
        terms = {}
        for objective in self.named:
            found = self.losses[objective.name](self.embeddings(outputs, objective, step=step))
            terms |= {f"{objective.name}/{name}": value for name, value in found.terms.items()}
        return LossTerms(terms)

    def total(self, terms: LossTerms) -> Tensor:
        """sum(w_i L_i) / sum(w_i), L_i the mean of an objective's terms (design.md 9.5).

        An objective without terms is not active yet and does not count. Raises ConfigError where none is active.
        """
        weighted, weights = [], 0.0
        for objective in self.named:
            own = [value for name, value in terms.terms.items() if name.startswith(f"{objective.name}/")]
            if own:
                weighted.append(objective.config.weight * torch.stack(own).mean())
                weights += objective.config.weight
        if not weighted:
            raise ConfigError("no objective is active in the first epochs", code="CONFIG_MEMORY", field="objectives")
        return torch.stack(weighted).sum() / weights

    def monitors(self, outputs: Outputs, *, step: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for objective in self.named:
            for stream in objective.streams:
                name = f"z/{objective.name}/{stream}"
                if objective.config.reads in ("pooled", "original") and not any(
                    key.startswith(f"{stream}/") for key in found
                ):
                    z = outputs[name][outputs[f"present/{stream}"]].detach()
                    health = embedding_health(objective.config.compared(z))
                    found |= {f"{stream}/{key}": value for key, value in health.items()}
        if self.surroundings is not None:
            found |= self._monitor_surroundings(outputs, step)
        return found

    @torch.no_grad()
    def _monitor_surroundings(self, outputs: Outputs, step: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for objective in self.named:
            loss, embeddings = self.losses[objective.name], self.embeddings(outputs, objective, step=step)
            values = loss.monitors(embeddings) if isinstance(loss, Monitored) else {}
            found |= {f"{objective.name}/{name}": value for name, value in values.items()}
            found |= self._false_negatives(objective, embeddings)
        if self.surroundings is not None and self.surroundings.memory is not None:
            found |= self.surroundings.memory.diagnostics() | self.surroundings.agreement()
        return found

    def _false_negatives(self, objective: NamedObjective, embeddings: Embeddings) -> dict[str, float]:
        """Share of negatives of the anchor's class, where an objective weighs or chooses them by pseudo-labels."""
        idx, around = embeddings.idx, self.surroundings
        classes = None if around is None else around.classes(idx.device)
        if around is None or classes is None:
            return {}
        found: dict[str, float] = {}
        anchors, loss = classes[torch.from_numpy(around.rows.find(idx.cpu().numpy()))], self.losses[objective.name]
        for stream in objective.streams:
            shares: dict[str, float] = {}
            if "clusters" in objective.config.needs:
                shares = false_negative_shares(entries_of(embeddings, stream, clusters=True), anchors)
            elif isinstance(loss, InterSampleLoss) and (mined := embeddings.mined.get(stream)) is not None:
                negatives = loss.negatives(normalize(embeddings.views[stream][0]), mined)
                shares = mined_shares(mined, negatives, anchors, classes)
            found |= {f"{objective.name}/{stream}/{name}": value for name, value in shares.items()}
        return found


def _heads(objective: NamedObjective, encoders: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    if objective.config.reads == "patches":
        return decoders(objective, encoders)
    widths = {s: int(encoders[s].width) for s in objective.streams}  # pyright: ignore[reportArgumentType] - spec.Encoder
    return {s: projector(width, objective.config.projection) for s, width in widths.items()}


def _samples_first(stacked: Tensor, views: int) -> Tensor:
    """(V * B, ...) view-major -> (B, V, ...)."""
    return stacked.unflatten(0, (views, -1)).transpose(0, 1)
