import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.info_nce import info_nce
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Entries, Repel
from tests.references import dense_info_nce, differing_loop, overlap_loop


def example(seed: int, anchors: int, candidates: int) -> tuple[torch.Tensor, torch.Tensor, Entries, Entries]:
    generator = torch.Generator().manual_seed(seed)

    def entries(number: int) -> Entries:
        def draw(high: int, *shape: int) -> torch.Tensor:
            return torch.randint(-1, high, (number, *shape), generator=generator)

        start = draw(6)
        spans = torch.stack([draw(2), start, torch.where(start < 0, -1, start + 3)], dim=1)
        return Entries(draw(4) >= 0, draw(9, 2), spans, draw(3, 2))

    z, c = (torch.randn(number, 5, generator=generator, dtype=torch.float64) for number in (anchors, candidates))
    return z.requires_grad_(), c.requires_grad_(), entries(anchors), entries(candidates)


def dense_weights(a: Entries, c: Entries) -> torch.Tensor:
    """(B, K) weight of each pair, one at a time."""
    assert a.spans is not None
    assert c.spans is not None
    assert a.clusters is not None
    assert c.clusters is not None
    weight = torch.zeros(len(a.present), len(c.present), dtype=torch.float64)
    for i in range(len(a.present)):
        for k in range(len(c.present)):
            equal = any(x == y for x, y in zip(a.content[i].tolist(), c.content[k].tolist(), strict=True))
            if bool(c.present[k]) and not equal and not overlap_loop(a.spans[i].tolist(), c.spans[k].tolist()):
                weight[i, k] = differing_loop(a.clusters[i].tolist(), c.clusters[k].tolist())
    return weight


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), tile=st.tuples(st.integers(1, 9), st.integers(1, 9)), tau=st.floats(0.05, 2.0))
def test_value_and_gradient_equal_the_dense_form_for_any_tile(seed: int, tile: tuple[int, int], tau: float) -> None:
    z, c, anchors, candidates = example(seed, 7, 8)
    weight = dense_weights(anchors, candidates)
    some = (weight > 0).any(dim=1)
    upstream = torch.linspace(-1, 2, 7, dtype=torch.float64)
    dense = (z @ c.T / tau + weight.log())[some].logsumexp(dim=1)
    expected = torch.autograd.grad((dense * upstream[some]).sum(), (z, c))

    tiled = log_sum_exp(z, c, repel=Repel(anchors, candidates), temperature=tau, tile=tile)
    found = torch.autograd.grad((torch.where(some, tiled, 0.0) * upstream).sum(), (z, c))

    assert (tiled[~some] == -torch.inf).all()
    torch.testing.assert_close(tiled[some], dense, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("tau", [0.01, 0.1, 1.0])
def test_info_nce_over_many_tiles_equals_the_dense_form_in_float32(tau: float) -> None:
    generator = torch.Generator().manual_seed(0)
    z, c = (torch.randn(1500, 16, generator=generator).requires_grad_() for _ in range(2))
    present, rows = torch.rand(1500, generator=generator) < 0.9, torch.arange(1500)
    content = torch.randint(0, 1400, (1500,), generator=generator)
    own = torch.eye(1500, dtype=torch.bool)
    allowed = (present[None] & (content[:, None] != content)) | own
    dense = dense_info_nce(z, c, rows, allowed=allowed, temperature=tau)
    expected = torch.autograd.grad(dense.mean(), (z, c))

    entries = Entries(present, content[:, None])
    tiled = info_nce(z, c, rows, repel=Repel(entries, entries), temperature=tau)
    found = torch.autograd.grad(tiled.mean(), (z, c))

    torch.testing.assert_close(tiled, dense, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_gradient_equals_finite_differences() -> None:
    z, c, anchors, candidates = example(3, 5, 6)
    some = (dense_weights(anchors, candidates) > 0).any(dim=1)

    def value(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return log_sum_exp(a, b, repel=Repel(anchors, candidates), temperature=0.7, tile=(2, 3))[some]

    assert torch.autograd.gradcheck(value, (z, c))


def test_constant_candidates_get_no_gradient_and_an_empty_side_is_defined() -> None:
    z, c, _, _ = example(0, 4, 3)

    log_sum_exp(z, c.detach(), repel=Repel(), temperature=1.0).sum().backward()
    nobody = log_sum_exp(z, c[:0], repel=Repel(), temperature=1.0)
    none = log_sum_exp(z[:0], c, repel=Repel(), temperature=1.0)

    assert c.grad is None
    assert nobody.tolist() == [-torch.inf] * 4
    assert none.shape == (0,)


def test_memory_is_that_of_tiles() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.tiled_info_nce", "--measure", "cross", "--large", "12000"]

    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert found["cross_12000_extra_mib"] < 200  # one (B, K) matrix alone has 549
