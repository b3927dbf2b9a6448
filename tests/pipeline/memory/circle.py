"""Eight rows on the unit circle with three clusters, the case InterCLR's published numbers are of; and larger banks."""

import math

import torch
from torch import Tensor

from pipeline.memory.assignment import Assignment
from pipeline.memory.bank import FeatureBank
from pipeline.memory.centroids import cluster_totals
from pipeline.memory.config import ClustersConfig
from pipeline.memory.pseudo_labels import PseudoLabels
from pipeline.memory.runtime import Runtime
from pipeline.worker import SingleWorker

ALONE = Runtime(SingleWorker(), seed=0)
ANGLES = [0.0, 10.0, 20.0, 90.0, 100.0, 110.0, 180.0, 190.0]
LABELS = [0, 0, 0, 1, 1, 1, 2, 2]


def at(*degrees: float) -> Tensor:
    """float64 unit rows (K, 2) at angles."""
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees], dtype=torch.float64)


def bank_of(rows: Tensor, *, momentum: float = 1.0) -> FeatureBank:
    """A bank that holds these rows (n, d)."""
    bank = FeatureBank(*rows.shape, dtype=rows.dtype, momentum=momentum, runtime=ALONE)
    bank.write(torch.arange(len(rows)), rows, step=0)
    return bank


def labels_of(bank: FeatureBank, labels: Tensor, *, num: int, config: ClustersConfig | None = None) -> PseudoLabels:
    """Pseudo-labels that start as given, without a repair."""
    found = PseudoLabels(bank, config or ClustersConfig(), num=num, name="a/0", seed=0)
    found.adopt(labels.int(), num, smallest=0)
    return found


def circle(*, momentum: float = 1.0, config: ClustersConfig | None = None) -> PseudoLabels:
    """The published case."""
    return labels_of(bank_of(at(*ANGLES), momentum=momentum), torch.tensor(LABELS), num=3, config=config)


def blobs(num_rows: int, num_blobs: int, *, dim: int = 8, noise: float = 0.3, seed: int = 3) -> tuple[Tensor, Tensor]:
    """float32 rows (n, d) around random directions, and which (n,)."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(num_blobs, (num_rows,), generator=generator)
    centres = torch.nn.functional.normalize(torch.randn(num_blobs, dim, generator=generator), dim=1)
    rows = centres[which] + noise * torch.randn(num_rows, dim, generator=generator)
    return torch.nn.functional.normalize(rows, dim=1), which


def assert_consistent(assignment: Assignment, bank: FeatureBank) -> None:
    """Running sums and sizes are those of a full recomputation, to the last bit; labels are in range."""
    sums, counts = cluster_totals(bank, assignment.labels, assignment.num)
    labelled = assignment.labels[bank.valid]

    assert torch.equal(assignment.centroids.sums, sums)
    assert torch.equal(assignment.centroids.counts, counts)
    assert int(counts.sum()) == bank.num_valid
    assert bool(((labelled >= 0) & (labelled < assignment.num)).all())
    assert bool((assignment.labels[~bank.valid] == -1).all())
