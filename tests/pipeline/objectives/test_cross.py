import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.cross import CrossModal, symmetric_info_nce
from pipeline.objectives.repel import Entries
from pipeline.objectives.standard_scores import standard_scores
from pipeline.train.health import embedding_health
from pipeline.types import Embeddings
from tests.references import fixture_a, symmetric_info_nce_loop


def test_symmetric_form_equals_published_value() -> None:
    first, second = fixture_a()
    entries = Entries(torch.ones(6, dtype=torch.bool), torch.arange(6)[:, None])

    loss = symmetric_info_nce(first, second, entries=entries, temperature=0.07)

    assert abs(float(loss) - 3.50652236) < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    paired=st.lists(st.booleans(), min_size=6, max_size=6),
    content=st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_equals_loop_with_unpaired_and_equal_samples(paired: list[bool], content: list[int]) -> None:
    first, second = fixture_a()
    expected = symmetric_info_nce_loop(first, second, paired, content, 0.1)
    entries = Entries(torch.tensor(paired), torch.tensor(content)[:, None])

    actual = symmetric_info_nce(first, second, entries=entries, temperature=0.1)

    assert float(actual) == pytest.approx(expected, abs=1e-9)


def test_three_streams_give_three_pairs_and_a_lonely_stream_none() -> None:
    first, second = fixture_a()
    views = {"a": first[None], "b": second[None], "c": torch.stack([first, second])}
    present = {
        "a": torch.ones(6, dtype=torch.bool),
        "b": torch.zeros(6, dtype=torch.bool),
        "c": torch.ones(6, dtype=torch.bool),
    }
    content = {name: torch.arange(6) for name in views}
    loss = CrossModal(temperature=0.1).build(["a", "b", "c"])

    terms = loss(Embeddings(torch.arange(6), views, present, content)).terms

    assert set(terms) == {"a-b", "a-c", "b-c"}
    assert float(terms["a-b"]) == 0.0
    assert float(terms["a-c"]) > 0.0


def test_standard_scores_come_from_the_kept_rows_alone() -> None:
    first, _ = fixture_a()
    keep = torch.tensor([True, True, False, True, True, False])

    scores = standard_scores(first, keep)
    moved = standard_scores(torch.where(keep[:, None], first, first + 100.0), keep)
    kept = scores[keep].double()

    torch.testing.assert_close(kept.mean(dim=0), torch.zeros(first.shape[1]).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(kept, moved[keep].double())
    spread = first[keep].double().var(dim=0, unbiased=False)
    torch.testing.assert_close(kept.var(dim=0, unbiased=False), spread / (spread + 1e-5), atol=1e-5, rtol=1e-4)
    assert bool(standard_scores(first, torch.zeros(6, dtype=torch.bool)).isfinite().all())


def test_standardized_loss_ignores_offset_and_scale_of_every_dimension() -> None:
    first, second = fixture_a()
    everyone = {name: torch.ones(6, dtype=torch.bool) for name in "ab"}
    content = {name: torch.arange(6) for name in "ab"}

    def loss(a: torch.Tensor, *, standardize: bool) -> float:
        views = {"a": a[None], "b": second[None]}
        built = CrossModal(standardize=standardize).build(["a", "b"])
        return float(built(Embeddings(torch.arange(6), views, everyone, content)).terms["a-b"])

    moved = first * 3.0 + 50.0

    assert loss(moved, standardize=True) == pytest.approx(loss(first, standardize=True), abs=1e-3)
    assert abs(loss(moved, standardize=False) - loss(first, standardize=False)) > 0.05


def test_collapse_is_judged_on_what_the_loss_compares() -> None:
    spread = 3.0 + torch.randn(256, 1, 16, generator=torch.Generator().manual_seed(0))
    constant = torch.full((256, 1, 16), 0.7)

    raw = embedding_health(CrossModal().compared(spread))
    standard, dead = (embedding_health(CrossModal(standardize=True).compared(z)) for z in (spread, constant))

    assert raw["mean_cosine"] > 0.8
    assert standard["mean_cosine"] < 0.01
    assert standard["std"] > 0.9
    assert dead["std"] < 0.1
