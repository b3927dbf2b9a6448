import math
import re

import numpy as np
import pytest
import torch

from pipeline.data.rows import RangeRows
from pipeline.errors import CheckpointError, ConfigError, TrainingHealthError
from pipeline.memory.config import ClustersConfig, MemoryConfig
from pipeline.memory.memory import Memory
from tests.pipeline.memory.circle import ALONE, assert_consistent, blobs
from tests.pipeline.memory.toy_memory import (
    BATCH,
    CONFIG,
    NUM,
    ROWS,
    STEPS_PER_EPOCH,
    make_memory,
    parts_of,
    run_steps,
)


def small(config: MemoryConfig, *, num_rows: int = 200, spans: np.ndarray | None = None) -> Memory:
    table = np.full((num_rows, 3), -1) if spans is None else spans
    return Memory(config, RangeRows(0, num_rows), streams=("a", "b"), dim=8, spans=table, runtime=ALONE)


def learn(memory: Memory, *, epochs: int = 1, present_b: float = 1.0) -> None:
    rows, num = blobs(200, 5)[0], 200
    present = {"a": torch.ones(num, dtype=torch.bool), "b": torch.arange(num) < present_b * num}
    for step in range(epochs):
        memory.after_step(torch.arange(num), {"a": rows, "b": rows.flip(1)}, present, step=step, epoch_ended=True)


def test_nothing_is_mined_before_the_warm_up_ends_although_rows_are_written() -> None:
    memory = make_memory()
    run_steps(memory, range(STEPS_PER_EPOCH - 1))

    assert not memory.active
    assert memory.spaces["a"].bank.num_valid == (STEPS_PER_EPOCH - 1) * BATCH
    assert memory.mine("a", torch.arange(4), step=14).num_clusters == 0
    assert memory.clusters("a", torch.from_numpy(ROWS.take(np.arange(3)))).tolist() == [[-1, -1]] * 3
    run_steps(memory, range(STEPS_PER_EPOCH - 1, STEPS_PER_EPOCH))
    assert memory.active
    assert memory.mine("a", torch.arange(4), step=15).num_clusters == 12


def test_every_space_stays_consistent_over_epochs() -> None:
    memory = make_memory()
    run_steps(memory, range(3 * STEPS_PER_EPOCH))

    for space in memory.spaces.values():
        for labels in space.granularities:
            assert labels.assignment is not None
            assert_consistent(labels.assignment, space.bank)
            assert int(labels.assignment.centroids.counts.min()) > 0
    assert memory.spaces["b"].bank.num_valid == NUM * 4 // 5
    assert all(math.isfinite(value) for value in memory.diagnostics().values())
    assert memory.diagnostics()["a/clusters_2"] == 40.0


def test_a_sample_whose_stream_is_absent_is_never_mined_in_it() -> None:
    memory = make_memory(config=CONFIG.model_copy(update={"candidates": NUM}))
    run_steps(memory, range(STEPS_PER_EPOCH))
    idx = torch.from_numpy(ROWS.take(np.arange(0, 50)))
    absent = torch.arange(50) % 5 == 0

    own, cross = memory.mine("b", idx, step=15), memory.mine("b", idx, labels="a", step=15)

    assert torch.equal(own.labels == -1, absent)
    assert torch.equal(own.has_positive, ~absent)
    assert not (own.same | own.different)[absent].any()
    for mined in (own, cross):
        unwritten = mined.candidates.norm(dim=1) == 0
        assert int(unwritten.sum()) == NUM // 5
        assert not (mined.same | mined.different)[:, unwritten].any()
        assert (mined.positive[mined.has_positive].norm(dim=1) > 0.9).all()


def test_a_stream_that_nobody_has_stays_without_labels() -> None:
    memory = small(MemoryConfig(spaces="both", queue=10))
    learn(memory, epochs=3, present_b=0.0)

    mined = memory.mine("b", torch.arange(10), step=3)

    assert (mined.num_clusters, bool(mined.has_positive.any())) == (0, False)
    assert memory.mine("a", torch.arange(10), step=3).num_clusters > 1
    assert len(memory.keys("b")) == 0
    assert all(math.isfinite(value) for value in memory.diagnostics().values())


def test_cross_labels_choose_positives_of_the_other_streams_clusters() -> None:
    memory = small(MemoryConfig(clusters=ClustersConfig(num=(5,))))
    learn(memory)
    idx = torch.arange(200)

    own, cross = memory.mine("a", idx, step=1), memory.mine("a", idx, labels="b", step=1)

    assert torch.equal(own.candidates, cross.candidates)
    assert torch.equal(cross.labels[:, None], memory.clusters("b", idx))
    assert torch.equal(own.labels[:, None], memory.clusters("a", idx))


def test_with_fused_rows_only_every_stream_reads_them() -> None:
    memory = small(MemoryConfig(spaces="fused", clusters=ClustersConfig(num=(5,))))
    learn(memory, present_b=0.5)

    assert list(memory.spaces) == ["fused"]
    for labels in ("own", "fused", "b"):
        assert memory.mine("a", torch.arange(9), labels=labels, step=1).num_clusters == 5


def test_the_queue_holds_present_keys_and_knows_which_overlap() -> None:
    spans = np.stack([np.arange(200) // 2, np.full(200, -1), np.full(200, -1)], axis=1)
    memory = small(MemoryConfig(queue=30), spans=spans)
    learn(memory, present_b=0.5)

    assert memory.keys("b").shape == (30, 8)
    overlap = memory.keys_overlap("b", torch.tensor([99, 3]))
    queued = memory.queues["b"].positions
    assert queued[overlap[0]].sort().values.tolist() == [98, 99]
    assert not overlap[1].any()


def test_equal_samples_in_a_batch_take_the_last_row() -> None:
    memory, here = small(MemoryConfig()), torch.ones(3, dtype=torch.bool)
    rows = torch.eye(8)[:3]

    memory.after_step(
        torch.tensor([4, 4, 9]), {"a": rows, "b": rows}, {"a": here, "b": here}, step=0, epoch_ended=False
    )

    assert torch.equal(memory.spaces["a"].bank.fetch(torch.tensor([4, 9])), rows[1:])


def test_samples_outside_the_memory_are_left_out() -> None:
    memory, here = small(MemoryConfig(queue=9)), torch.ones(2, dtype=torch.bool)
    rows = torch.eye(8)[:2]

    memory.after_step(torch.tensor([900, 5]), {"a": rows, "b": rows}, {"a": here, "b": here}, step=0, epoch_ended=True)

    assert memory.spaces["a"].bank.valid.nonzero().tolist() == [[5]]
    assert memory.queues["a"].positions[:2].tolist() == [5, -1]
    assert not memory.mine("a", torch.tensor([900]), step=1).has_positive.any()


def test_nothing_of_the_memory_carries_a_gradient() -> None:
    memory = small(MemoryConfig(queue=20))
    learn(memory)
    query = torch.randn(200, 8, requires_grad=True)
    mined = memory.mine("a", torch.arange(200), step=1)

    (
        (query @ mined.candidates.T).sum() + (query * mined.positive).sum() + (query @ memory.keys("a").T).sum()
    ).backward()
    here = torch.ones(200, dtype=torch.bool)
    memory.after_step(torch.arange(200), {"a": query, "b": query}, {"a": here, "b": here}, step=1, epoch_ended=False)

    assert query.grad is not None
    assert not any(t.requires_grad or t.grad is not None for part in parts_of(memory).values() for t in part.values())


@pytest.mark.fault("N01")
def test_rows_that_are_not_finite_stop_the_run_and_name_the_sample() -> None:
    memory, here = small(MemoryConfig()), torch.ones(2, dtype=torch.bool)
    rows = {"a": torch.ones(2, 8), "b": torch.ones(2, 8)}
    rows["b"][1, 3] = torch.nan

    with pytest.raises(TrainingHealthError, match=r"NONFINITE_ROWS: rows of b .*\[17\]"):
        memory.after_step(torch.tensor([4, 17]), rows, {"a": here, "b": here}, step=0, epoch_ended=False)
    absent = {"a": here, "b": torch.tensor([True, False])}
    memory.after_step(torch.tensor([4, 17]), rows, absent, step=0, epoch_ended=False)
    assert memory.spaces["b"].bank.rows.isfinite().all()


def test_too_many_clusters_are_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"memory\.clusters\.num\.0"):
        small(MemoryConfig(clusters=ClustersConfig(num=(60,))))


def test_times_of_other_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected=\[200, 3\] got=\[199, 3\]"):
        small(MemoryConfig(), spans=np.zeros((199, 3), np.int64))


@pytest.mark.parametrize(("labels", "granularity"), [("fused", 0), ("camera", 0), ("own", 1), ("own", -1)])
def test_a_space_or_granularity_that_is_not_there_is_refused(labels: str, granularity: int) -> None:
    with pytest.raises(ConfigError, match="CONFIG_MEMORY"):
        small(MemoryConfig()).mine("a", torch.arange(3), labels=labels, granularity=granularity, step=0)


def test_part_names_fit_the_checkpoint_and_a_missing_part_is_an_error() -> None:
    memory = small(MemoryConfig(spaces="both", queue=5))
    parts = parts_of(memory)

    assert all(re.fullmatch(r"[a-z][a-z_0-9]*", name) for name in parts)
    with pytest.raises(CheckpointError):
        small(MemoryConfig(spaces="both", queue=6)).load(parts.__getitem__)


@pytest.mark.parametrize("seed", [1])
def test_the_seed_decides_the_draws(seed: int) -> None:
    digests = [run_steps(make_memory(seed=each), range(16)) for each in (0, 0, seed)]

    assert digests[0] == digests[1] != digests[2]
