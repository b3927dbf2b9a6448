"""What training remembers of every sample: the facade over banks, pseudo-labels, mining and queues.

Every worker runs the same computation on the same gathered batch; only the rows of the banks are dealt. All methods
marked collective must be called by every worker. Losses see the state from before the step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.data.rows import Rows
from pipeline.errors import ConfigError, TrainingHealthError
from pipeline.memory.bank import FeatureBank
from pipeline.memory.cluster_numbers import check_numbers
from pipeline.memory.config import MemoryConfig
from pipeline.memory.desync import LabelDigest
from pipeline.memory.diagnostics import space_figures
from pipeline.memory.key_queue import KeyQueue
from pipeline.memory.mining import Miner
from pipeline.memory.pseudo_labels import PseudoLabels
from pipeline.memory.runtime import Runtime
from pipeline.memory.spans import Spans
from pipeline.memory.view_space import FUSED, Part, ViewSpace, fuse
from pipeline.types import Mined


class Memory:
    """Spaces of rows over the pretraining samples, positions 0..n-1 of `rows`.

    streams: names in the order of the recipe. dim: d of the rows. spans: (n, 3) int64 record (-1 = none), start and end
    in ns (-1 = unknown). Raises ConfigError where there are more clusters than samples can fill.
    """

    def __init__(
        self,
        config: MemoryConfig,
        rows: Rows,
        *,
        streams: Sequence[str],
        dim: int,
        spans: np.ndarray | Tensor,
        runtime: Runtime,
    ) -> None:
        check_numbers(config.clusters, len(rows))
        _check_rows(len(rows), spans)
        self.config, self.rows, self.dim, self.runtime, self.streams = config, rows, dim, runtime, tuple(streams)
        own = () if config.spaces == "fused" else self.streams
        fused = () if config.spaces == "streams" else (FUSED,)
        self.spaces = {name: self._space(name) for name in (*own, *fused)}
        self.queues = {stream: KeyQueue(config.queue, dim, runtime.device) for stream in self.streams}
        self.miner = Miner(
            Spans(spans, runtime.device),
            num_candidates=config.candidates,
            overlapping_positives=config.overlapping_positives,
            seed=runtime.seed,
        )
        self.epochs, self.step, self.digest = 0, -1, LabelDigest()

    def _space(self, name: str) -> ViewSpace:
        config, runtime = self.config, self.runtime
        bank = FeatureBank(
            len(self.rows), self.dim, dtype=config.torch_dtype, momentum=config.momentum, runtime=runtime
        )
        labels = [
            PseudoLabels(bank, config.clusters, num=num, name=f"{name}/{number}", seed=runtime.seed)
            for number, num in enumerate(config.clusters.num or (None,))
        ]
        return ViewSpace(name, bank, labels)

    @property
    def active(self) -> bool:
        """Whether the warm-up is over and any space has pseudo-labels."""
        return any(labels.assignment for space in self.spaces.values() for labels in space.granularities)

    def space(self, stream: str, labels: str = "own") -> ViewSpace:
        """The space of a stream, or the one that `labels` names: own, fused or another stream.

        With fused rows only, that is always the fused one. Raises ConfigError for a name that the memory has not.
        """
        name = stream if labels == "own" else labels
        if name in self.streams and self.config.spaces == "fused":
            name = FUSED
        if name not in self.spaces:
            raise ConfigError(
                f"the memory has no space {name}",
                code="CONFIG_MEMORY",
                field="memory.spaces",
                expected=sorted(self.spaces),
                got=name,
                fix="set memory.spaces to both, or name one of these",
            )
        return self.spaces[name]

    def labels(self, stream: str, labels: str, granularity: int) -> PseudoLabels:
        """The pseudo-labels that `mine` goes by. Raises ConfigError for a space or granularity that there is not."""
        found = self.space(stream, labels).granularities
        if 0 <= granularity < len(found):
            return found[granularity]
        raise ConfigError(
            f"the memory has {len(found)} granularities",
            code="CONFIG_MEMORY",
            field="granularity",
            expected=f"0 to {len(found) - 1}",
            got=granularity,
            fix="name more numbers in memory.clusters.num",
        )

    def positions(self, idx: Tensor) -> Tensor:
        """Positions (B,) of samples idx (B,), -1 for samples outside the memory."""
        return torch.from_numpy(self.rows.find(idx.cpu().numpy())).to(self.runtime.device)

    @torch.no_grad()
    def mine(self, stream: str, idx: Tensor, *, labels: str = "own", granularity: int = 0, step: int) -> Mined:
        """Positives and candidates in the stream's rows for samples idx (B,), by the labels of `space(stream, labels)`.

        Before the warm-up ends nothing is mined: labels -1, num_clusters 0, no positive. Collective.
        """
        chosen = self.labels(stream, labels, granularity)
        return self.miner.mine(self.space(stream), chosen, idx, self.positions(idx), step=step)

    def clusters(self, stream: str, idx: Tensor) -> Tensor:
        """Pseudo-labels (B, G) int64 of samples idx (B,) at every granularity of the stream's space, -1 = none."""
        positions = self.positions(idx)
        return torch.stack([g.labels_at(positions).long() for g in self.space(stream).granularities], dim=1)

    def keys(self, stream: str) -> Tensor:
        """The queue of a stream: unit rows (Q, d) of earlier batches, at most `queue`."""
        return self.queues[stream].rows[: self.queues[stream].filled]

    def keys_overlap(self, stream: str, idx: Tensor) -> Tensor:
        """(B, Q) bool: queued keys of the samples idx (B,) themselves or of windows that overlap them in time."""
        queue = self.queues[stream]
        positions = self.positions(idx)
        overlap = self.miner.spans.overlap(positions.clamp(min=0), queue.positions[: queue.filled])
        return overlap & (positions >= 0)[:, None]

    @torch.no_grad()
    def after_step(
        self, idx: Tensor, rows: Mapping[str, Tensor], present: Mapping[str, Tensor], *, step: int, epoch_ended: bool
    ) -> None:
        """Learn from a global batch: enqueue, write, relabel; refresh and repair every few steps. Collective.

        idx (B,); rows: stream -> (B, d), momentum keys or projections; present: stream -> (B,) bool. The end of the
        warm-up clusters every bank; so does the end of every `recluster_every` epochs after it, offline. Raises
        TrainingHealthError for rows that are not finite.
        """
        positions, self.step = self.positions(idx), step
        _check_finite(idx, rows, present, step)
        for stream in self.streams:
            kept = present[stream] & (positions >= 0)
            self.queues[stream].push(rows[stream][kept], positions[kept])
        for name, space in self.spaces.items():
            row, there = fuse(rows, present) if name == FUSED else (rows[name], present[name])
            kept = there & (positions >= 0)
            space.write(positions[kept], row[kept], step)
        if (step + 1) % self.config.clusters.refresh_every == 0:
            self._each_labels(PseudoLabels.refresh)
        for space in self.spaces.values():
            for labels in space.granularities:
                self.digest.add(positions, labels.labels_at(positions))
        if epoch_ended:
            self._end_epoch()
        if epoch_ended or (step + 1) % self.config.clusters.refresh_every == 0:
            self.digest.check(self.runtime, step, self._kept_whole())

    def _kept_whole(self) -> dict[str, list[Tensor]]:
        """What every worker keeps of its own and has alike."""
        centroids = [
            labels.assignment.centroids
            for space in self.spaces.values()
            for labels in space.granularities
            if labels.assignment
        ]
        return {
            "times of writing": [space.bank.step_written for space in self.spaces.values()],
            "centroids": [tensor for each in centroids for tensor in (each.means, each.sums, each.counts)],
        }

    def _end_epoch(self) -> None:
        self.epochs += 1
        self._each_labels(PseudoLabels.end_epoch)
        since = self.epochs - self.config.warmup_epochs
        again = self.config.clusters.update == "offline" and since % self.config.clusters.recluster_every == 0
        for space in self.spaces.values():
            for labels in space.granularities:
                if since >= 0 and (again or labels.assignment is None):
                    labels.cluster()

    def _each_labels(self, act: Callable[[PseudoLabels], None]) -> None:
        for space in self.spaces.values():
            for labels in space.granularities:
                act(labels)

    def tensors(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Checkpoint parts, the same bytes on every worker. Collective: every worker takes all of them."""
        yield "memory", {"counters": torch.tensor([self.epochs, self.step, int(self.digest.value)])}
        for number, space in enumerate(self.spaces.values()):
            yield from space.tensors(f"memory_space_{number}")
        for number, queue in enumerate(self.queues.values()):
            if len(queue.rows):
                yield f"memory_queue_{number}", queue.tensors()

    def load(self, part: Part) -> None:
        """Inverse of `tensors` at any number of workers; `part` reads one by name.

        Raises CheckpointError where a part does not fit.
        """
        self.epochs, self.step, digest = part("memory")["counters"].tolist()
        self.digest.value = torch.tensor(digest)
        for number, space in enumerate(self.spaces.values()):
            space.load(f"memory_space_{number}", part)
        for number, queue in enumerate(self.queues.values()):
            if len(queue.rows):
                queue.load(part(f"memory_queue_{number}"))

    def diagnostics(self) -> dict[str, float]:
        """Figures by "<space>/<name>", see `space_figures`."""
        return {
            f"{name}/{figure}": value
            for name, space in self.spaces.items()
            for figure, value in space_figures(space, self.step).items()
        }


def _check_rows(num_rows: int, spans: np.ndarray | Tensor) -> None:
    if num_rows == 0 or tuple(spans.shape) != (num_rows, 3):
        raise ConfigError(
            "the memory needs samples, and a record, start and end of each",
            code="CONFIG_MEMORY",
            field="memory",
            expected=(num_rows or "> 0", 3),
            got=tuple(spans.shape),
        )


def _check_finite(idx: Tensor, rows: Mapping[str, Tensor], present: Mapping[str, Tensor], step: int) -> None:
    for stream, row in rows.items():
        bad = ~row.isfinite().all(dim=1) & present[stream]
        if bool(bad.any()):
            raise TrainingHealthError(
                f"rows of {stream} are not finite at step {step}",
                code="NONFINITE_ROWS",
                field=stream,
                got={"samples": idx[bad][:16].tolist()},
                fix="lower the learning rate or inspect the named samples (idx); the last checkpoint is finite",
            )
