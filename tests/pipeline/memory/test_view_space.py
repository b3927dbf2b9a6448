import pytest
import torch

from pipeline.errors import CheckpointError
from pipeline.memory.config import ClustersConfig
from pipeline.memory.pseudo_labels import PseudoLabels
from pipeline.memory.view_space import ViewSpace, fuse
from tests.pipeline.memory.circle import at, bank_of, blobs


def test_fused_rows_are_the_normalised_sum_of_the_streams_that_are_present() -> None:
    rows = {"a": at(0, 0, 0, 0) * 5, "b": at(90, 90, 90, 90)}
    present = {"a": torch.tensor([True, True, False, False]), "b": torch.tensor([True, False, True, False])}

    fused, there = fuse(rows, present)

    torch.testing.assert_close(fused[:3], at(45, 0, 90).float())
    assert there.tolist() == [True, True, True, False]
    assert fused[3].tolist() == [0.0, 0.0]


def test_opposite_streams_have_no_fused_direction_but_stay_finite() -> None:
    here = torch.ones(1, dtype=torch.bool)

    fused, _ = fuse({"a": at(0), "b": at(180)}, {"a": here, "b": here})

    assert fused.isfinite().all()


def space(num_rows: int = 300) -> ViewSpace:
    bank = bank_of(blobs(300, 6)[0][:num_rows])
    config = ClustersConfig(num=(3, 6))
    return ViewSpace("a", bank, [PseudoLabels(bank, config, num=num, name=f"a/{num}", seed=0) for num in (3, 6)])


def test_each_granularity_has_labels_of_its_own() -> None:
    found = space()
    for labels in found.granularities:
        labels.cluster()

    found.write(torch.arange(10), torch.randn(10, 8), step=1)

    assert [labels.num_clusters for labels in found.granularities] == [3, 6]


def test_labels_of_other_samples_are_refused() -> None:
    found, other = space(), space()
    found.granularities[1].cluster()
    parts = dict(found.tensors("memory_space_0"))
    parts["memory_space_0_labels_1"]["labels"] = torch.zeros(299, dtype=torch.int32)

    with pytest.raises(CheckpointError, match=r"labels_1.*expected=300 got=299"):
        other.load("memory_space_0", parts.__getitem__)
