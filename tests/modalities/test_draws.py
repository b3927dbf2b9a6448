"""Sample-keyed random numbers: right distribution, and a function of seed, purpose, epoch, sample and view alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modalities.draws import Draws, derive_seed

WORD = (1 << 64) - 1
IDX = torch.arange(4000)


def draws(idx: torch.Tensor = IDX, **changes: object) -> Draws:
    keyed = {"seed": 0, "purpose": "view", "epoch": 0, "view": 0, **changes}
    return Draws.keyed(idx, **keyed)  # type: ignore[arg-type]


def mix(x: int) -> int:
    """The splitmix64 finaliser on Python integers."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & WORD
    return x ^ x >> 31


def reference_uniform(idx: int, *, calls: int, size: int) -> list[float]:
    """One sample's numbers of its `calls`-th draw."""
    key = mix((idx * 0x9E3779B97F4A7C15 + derive_seed(0, "view", 0, 0)) & WORD)
    base = mix((key + calls * 0x94D049BB133111EB) & WORD)
    return [(mix((base + n * 0x9E3779B97F4A7C15) & WORD) >> 40) / 2**24 for n in range(1, size + 1)]


@given(idx=st.integers(0, 2**40), size=st.integers(1, 5))
def test_numbers_are_those_of_a_loop_over_python_integers(idx: int, size: int) -> None:
    stream = draws(torch.tensor([idx]))

    assert stream.uniform(size)[0].tolist() == reference_uniform(idx, calls=1, size=size)
    assert stream.uniform(size)[0].tolist() == reference_uniform(idx, calls=2, size=size)


@pytest.mark.fault("N12")
@given(rows=st.lists(st.integers(0, 3999), min_size=1, max_size=8, unique=True))
def test_a_sample_draws_the_same_in_any_batch(rows: list[int]) -> None:
    index = torch.tensor(rows)
    some, all_of_them = draws(index), draws()

    for _ in range(2):
        assert torch.equal(some.uniform(3), all_of_them.uniform(3)[index])
    assert torch.equal(draws().select(index).normal(2), draws().normal(2)[index])


@pytest.mark.fault("N12")
@pytest.mark.parametrize("change", [{"seed": 1}, {"purpose": "dropout"}, {"epoch": 1}, {"view": 1}])
def test_every_part_of_the_key_gives_independent_numbers(change: dict[str, object]) -> None:
    first, second = draws().uniform(4).flatten(), draws(**change).uniform(4).flatten()

    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 4 / math.sqrt(len(first))
    assert (first == second).float().mean() < 1e-3


@pytest.mark.fault("N12")
def test_a_hundred_thousand_samples_never_draw_alike() -> None:
    idx = torch.arange(100_000)
    streams = [draws(idx, view=view, epoch=epoch) for view in (0, 1) for epoch in (0, 1)]
    streams += [draws(idx, purpose="dropout"), draws(idx, seed=1), draws(idx).fork("a")]
    keys = torch.cat([stream.keys for stream in streams])

    assert len(keys.unique()) == len(keys) == 700_000
    first = torch.cat([stream.uniform(3) for stream in streams])
    assert len(first.unique(dim=0)) == len(first)


def test_calls_forks_and_neighbouring_samples_are_independent() -> None:
    stream = draws()
    first, second = stream.uniform(4), stream.uniform(4)
    columns = [first[:, 0], first[:, 1], second[:, 0], draws().fork("a").uniform(), draws().fork("b").uniform()]
    columns += [first[:, 0].roll(1)]
    correlations = torch.corrcoef(torch.stack(columns)) - torch.eye(len(columns))

    assert correlations.abs().max() < 4 / math.sqrt(len(IDX))


def test_a_fork_does_not_depend_on_what_was_drawn_before() -> None:
    early, late = draws(), draws()
    late.uniform(7)

    assert torch.equal(early.fork("x").uniform(2), late.fork("x").uniform(2))


def test_uniform_is_uniform() -> None:
    numbers = draws().uniform(5)

    assert numbers.shape == (4000, 5)
    assert numbers.dtype == torch.float32
    assert 0 <= numbers.min() < numbers.max() < 1
    assert stats.kstest(numbers.flatten().numpy(), "uniform").pvalue > 1e-3
    assert draws().uniform(low=-2.0, high=3.0).min() < -1.9
    assert draws().uniform().shape == (4000,)


def test_normal_is_normal() -> None:
    numbers = draws().normal(5, std=2.0)

    assert numbers.isfinite().all()
    assert stats.kstest((numbers / 2.0).flatten().numpy(), "norm").pvalue > 1e-3


def test_integers_cover_their_range_evenly() -> None:
    counts = torch.bincount(draws().integers(3, 10, 5).flatten(), minlength=10)

    assert counts[:3].sum() == 0
    assert len(counts) == 10
    assert stats.chisquare(counts[3:].numpy()).pvalue > 1e-3


def test_library_seeds_depend_on_every_sample_and_their_order() -> None:
    seed = draws(torch.tensor([3, 4, 5])).seed()
    others = [[4, 3, 5], [3, 4, 6], [3, 4], [3, 4, 5, 6]]

    assert seed == draws(torch.tensor([3, 4, 5])).seed()
    assert 0 <= seed < 2**31
    assert seed not in {draws(torch.tensor(rows)).seed() for rows in others}
    assert seed != draws(torch.tensor([3, 4, 5])).fork("x").seed()


def test_derived_seeds_do_not_run_parts_together() -> None:
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
    assert 0 <= derive_seed(1, "order", 2) < 2**63
    assert derive_seed(7, "view") == 8783291002081279659  # stored runs rely on it
