import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.negative_pool import negative_pool
from tests.pipeline.objectives.test_margin_nce import BANK, circle
from tests.references import negative_pool_loop

DIFFERENT = torch.tensor([[False, False, False, True, True, True, True, True]])


@pytest.mark.parametrize(("pool", "expected"), [(4 / 8, [3]), (3 / 8, [3, 4, 5])])
def test_semihard_pool_on_the_circle_is_never_empty(pool: float, expected: list[int]) -> None:
    found = negative_pool(circle(5), BANK, DIFFERENT, sampling="semihard", pool=pool, negatives=16384)

    assert found[0].nonzero().flatten().tolist() == expected


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 99),
    sampling=st.sampled_from(["semihard", "hard", "semieasy", "random"]),
    pool=st.floats(0.01, 1.0),
    negatives=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.2, 0.8]),
)
def test_equals_loop(seed: int, sampling: str, pool: float, negatives: int, density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, bank = (torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1) for n in (4, 9))
    different = torch.rand(4, 9, generator=generator) < density
    size = max(1, math.ceil(pool * 9))
    expected = [
        negative_pool_loop((bank @ row).tolist(), mask, sampling=sampling, size=size, negatives=negatives)
        for row, mask in zip(z, different.tolist(), strict=True)
    ]

    found = negative_pool(z, bank, different, sampling=sampling, pool=pool, negatives=negatives)  # type: ignore[arg-type]

    assert [row.nonzero().flatten().tolist() for row in found] == expected


def test_large_batches_go_through_in_blocks_of_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    z, bank = torch.randn(2050, 3, generator=generator), torch.randn(20, 3, generator=generator)
    different = torch.rand(2050, 20, generator=generator) < 0.7

    found = negative_pool(z, bank, different, sampling="semihard", pool=0.3, negatives=4)
    last = negative_pool(z[2040:], bank, different[2040:], sampling="semihard", pool=0.3, negatives=4)

    assert torch.equal(found[2040:], last)
    assert int(found.sum(dim=1).max()) == 4
