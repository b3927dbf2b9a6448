from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from pipeline.objectives.relational import NegativeDomain, Relational
from pipeline.types import Embeddings, Links, Mined
from tests.pipeline.objectives.test_multi_similarity import graph
from tests.references import fixture_a, multi_similarity_loop


def batch(weight: torch.Tensor) -> Embeddings:
    """Two streams of fixture A in one graph."""
    first, second = fixture_a()
    everyone = torch.ones(6, dtype=torch.bool)
    return Embeddings(
        torch.arange(6),
        {"a": first[None].requires_grad_(), "b": second[None].requires_grad_()},
        {"a": everyone, "b": everyone},
        {"a": torch.arange(6), "b": torch.arange(6)},
        links=Links(weight, ~torch.eye(6, dtype=torch.bool)),
    )


def mined() -> Mined:
    first, second = (functional.normalize(view, dim=1).requires_grad_() for view in fixture_a())
    different = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) < 0.6
    none = torch.zeros(6, 6, dtype=torch.bool)
    has = torch.tensor([True, True, False, True, True, True])
    return Mined(first.detach().roll(1, 0).requires_grad_(), has, second, different, none, torch.full((6,), -1), 2)


def loop(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> float:
    similarity = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    negatives = (weight == 0) & ~torch.eye(6, dtype=torch.bool)
    losses = multi_similarity_loop(similarity, weight, negatives, scales=(2, 40), threshold=0.5, mining=0.1)
    kept = [loss for loss in losses if loss is not None]
    return sum(kept) / len(kept)


@pytest.mark.parametrize("form", ["multi_similarity", "contrastive"])
def test_stream_alone_equals_published_values(form: str) -> None:
    expected = {"multi_similarity": 1.4699655, "contrastive": 0.4104456}[form]
    found = batch(graph())
    if form == "contrastive":
        linked, apart = torch.zeros(6, 6), torch.zeros(6, 6, dtype=torch.bool)
        linked[[0, 1, 2], [1, 2, 3]] = 1.0
        apart[[0, 1, 2], [4, 5, 0]] = True
        found = replace(found, links=Links(linked, apart))

    terms = Relational(relation="r", form=form).build(["a"])(found).terms  # type: ignore[arg-type]

    assert set(terms) == {"a"}
    assert terms["a"].item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("pairs", "names"), [("own", {"a", "b"}), ("cross", {"a-b"}), ("both", {"a", "b", "a-b"})])
def test_neighbours_of_another_stream_equal_loop(pairs: str, names: set[str]) -> None:
    first, second = fixture_a()
    expected = {
        "a": loop(first, first, graph()),
        "b": loop(second, second, graph()),
        "a-b": (loop(first, second, graph()) + loop(second, first, graph())) / 2,
    }

    terms = Relational(relation="r", pairs=pairs).build(["a", "b"])(batch(graph())).terms  # type: ignore[arg-type]

    assert set(terms) == names
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: expected[name] for name in names}
    )


@pytest.mark.parametrize("form", ["multi_similarity", "contrastive"])
def test_graph_without_edges_is_a_zero_with_a_zero_gradient(form: str) -> None:
    found = batch(torch.zeros(6, 6))
    loss = Relational(relation="r", form=form, pairs="both").build(["a", "b"])  # type: ignore[arg-type]

    total = loss(found).total()
    gradients = torch.autograd.grad(total, list(found.views.values()))

    assert total.item() == 0.0
    assert all(gradient.abs().max() == 0 for gradient in gradients)
    assert loss.monitors(found) == {"frac_anchors_with_pos": 0.0}


@pytest.mark.fault("N06")
def test_repeated_idx_equal_payload_and_overlapping_windows_are_never_negatives() -> None:
    links = Links(graph(), torch.ones(6, 6, dtype=torch.bool))
    found = replace(batch(graph()), links=links, idx=torch.tensor([0, 1, 2, 3, 4, 0]))
    found.content["a"][4] = 2
    spans = torch.tensor([[0, 0, 5], [1, 0, 5], [2, 0, 5], [1, 4, 9], [3, 0, 5], [4, 0, 5]])
    found = replace(found, spans=spans)
    barred = torch.zeros(6, 6, dtype=torch.bool)
    for i, j in ((0, 5), (2, 4), (1, 3)):
        barred[i, j] = barred[j, i] = True
    expected = replace(
        batch(graph()), links=Links(graph(), ~barred & ~torch.eye(6, dtype=torch.bool)), content=batch(graph()).content
    )
    loss = Relational(relation="r", mining=None).build(["a"])

    torch.testing.assert_close(loss(found).total(), loss(expected).total())


def test_bank_partners_equal_loop_and_get_no_gradient() -> None:
    rows, found = mined(), batch(graph())
    found = replace(found, mined={"a": rows})
    config = Relational(relation="r", mode="bank")
    first = functional.normalize(fixture_a()[0], dim=1)
    similarity = torch.cat([(first * rows.positive).sum(dim=1)[:, None], first @ rows.candidates.T], dim=1).detach()
    weight = torch.cat([rows.has_positive.double()[:, None], torch.zeros(6, 6, dtype=torch.float64)], dim=1)
    negatives = torch.cat([torch.zeros(6, 1, dtype=torch.bool), rows.different], dim=1)
    losses = multi_similarity_loop(similarity, weight, negatives, scales=(2, 40), threshold=0.5, mining=0.1)
    kept = [loss for loss in losses if loss is not None]

    loss = config.build(["a", "b"])
    terms = loss(found).terms
    terms["a"].backward()

    assert (config.reads, config.needs) == ("memory", {"mined"})
    assert set(terms) == {"a"}
    assert terms["a"].item() == pytest.approx(sum(kept) / len(kept), abs=1e-9)
    assert rows.positive.grad is None
    assert rows.candidates.grad is None
    assert loss.monitors(found) == {"frac_anchors_with_pos": 5 / 6}


def test_objective_is_not_active_without_links_or_bank() -> None:
    nothing = replace(batch(graph()), links=None)

    for mode in ("batch", "bank"):
        loss = Relational(relation="r", mode=mode).build(["a"])  # type: ignore[arg-type]
        assert loss(nothing).terms == {}
        assert loss.monitors(nothing) == {}


def test_monitor_counts_present_anchors_with_a_present_neighbour() -> None:
    weight = torch.zeros(6, 6)
    weight[0, 1] = weight[1, 0] = weight[2, 3] = weight[3, 2] = 1.0
    found = batch(weight)
    found.present["a"] = torch.tensor([True, True, True, False, True, True])

    assert Relational(relation="r").build(["a"]).monitors(found) == {"frac_anchors_with_pos": 2 / 5}


def test_defaults_suit_unit_vectors() -> None:
    config = Relational(relation="r", negatives=NegativeDomain(same="device", other="subject"))

    assert config.repel_beyond <= 1.4
    assert config.attract_within < config.repel_beyond
