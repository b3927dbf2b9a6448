from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from pipeline.objectives.block_spread import block_spread
from pipeline.objectives.inter import InterSample
from pipeline.objectives.pairwise_cross_entropy import pairwise_cross_entropy
from pipeline.types import Embeddings, Mined
from tests.pipeline.objectives.test_margin_nce import BANK, circle
from tests.references import margin_nce_loop, sup_con_loop

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])


def anchors() -> torch.Tensor:
    return circle(5, 95, 185, 40)


def mined() -> Mined:
    labels = torch.tensor([0, 1, 2, -1])
    known = labels[:, None] >= 0
    return Mined(
        positive=BANK[[2, 4, 7, 0]].clone().requires_grad_(),
        has_positive=labels >= 0,
        candidates=BANK.clone().requires_grad_(),
        different=(labels[:, None] != LABELS) & known,
        same=labels[:, None] == LABELS,
        labels=labels,
        num_clusters=3,
    )


def embeddings(found: Mined | None, *, views: int = 1) -> Embeddings:
    z = torch.stack([anchors() + 0.1 * view for view in range(views)]).requires_grad_()
    everyone = torch.ones(4, dtype=torch.bool)
    known = {} if found is None else {"s": found}
    return Embeddings(torch.arange(4), {"s": z}, {"s": everyone}, {"s": torch.arange(4)}, mined=known)


def loss(config: InterSample, found: Mined, *, views: int = 1) -> float:
    return config.build(["s"])(embeddings(found, views=views)).total().item()


def test_one_positive_and_all_negatives_equal_loop_over_views() -> None:
    positives, negatives = [2, 4, 7], [[3, 4, 5, 6, 7], [0, 1, 2, 6, 7], [0, 1, 2, 3, 4, 5]]
    by_view = [
        [margin_nce_loop(anchors()[i] + shift, BANK[positives[i]], BANK[negatives[i]], -0.5, 0.2) for i in range(3)]
        for shift in (0.0, 0.1)
    ]
    expected = sum(map(sum, by_view)) / 6

    assert loss(InterSample(sampling="random"), mined(), views=2) == pytest.approx(expected, abs=1e-9)


def test_many_positives_equal_loop_and_fall_back_to_the_drawn_one() -> None:
    found = mined()
    found.same[1] = False
    same = [[0, 1, 2], [], [6, 7]]
    negatives = [[3, 4, 5, 6, 7], [0, 1, 2, 6, 7], [0, 1, 2, 3, 4, 5]]
    expected = [outer for outer, _ in sup_con_loop(anchors()[:3], BANK, same, negatives, 0.2)]
    expected[1] = margin_nce_loop(anchors()[1], BANK[4], BANK[negatives[1]], 0.0, 0.2)

    actual = loss(InterSample(sampling="random", positives="many", margin=0.0), found)

    assert actual == pytest.approx(sum(expected) / 3, abs=1e-9)


def test_no_gradient_reaches_the_memory() -> None:
    for positives in ("one", "many"):
        found = mined()
        config = InterSample(positives=positives, spread=1.0, pairwise=1.0)  # type: ignore[arg-type]
        given = embeddings(found)

        config.build(["s"])(given).total().backward()

        assert found.positive.grad is None
        assert found.candidates.grad is None
        assert given.views["s"].grad is not None
        assert given.views["s"].grad[:, :3].abs().sum() > 0


def test_anchors_without_label_or_negative_contribute_nothing() -> None:
    found = mined()
    found.different[0] = False
    alone = loss(InterSample(sampling="random"), found)

    found.has_positive[1] = False
    fewer = loss(InterSample(sampling="random"), found)
    found.has_positive[2] = False

    chosen = ((1, 4, [0, 1, 2, 6, 7]), (2, 7, [0, 1, 2, 3, 4, 5]))
    expected = [margin_nce_loop(anchors()[i], BANK[p], BANK[n], -0.5, 0.2) for i, p, n in chosen]
    assert alone == pytest.approx(sum(expected) / 2, abs=1e-9)
    assert fewer == pytest.approx(expected[1], abs=1e-9)
    assert loss(InterSample(sampling="random"), found) == 0.0


def test_spread_and_pairwise_terms_add_with_their_weights() -> None:
    plain, z = loss(InterSample(), mined()), functional.normalize(anchors(), dim=1)
    labels = mined().labels
    spread = block_spread(z, labels, num_classes=3).item()
    pairwise = pairwise_cross_entropy(z, labels, num_classes=3, temperature=0.2).item()

    actual = loss(InterSample(spread=0.5, pairwise=0.25), mined())

    assert actual == pytest.approx(plain + 0.5 * spread + 0.25 * pairwise, abs=1e-9)


def test_pool_and_form_matter() -> None:
    found = [
        loss(InterSample(sampling="semihard", pool=0.5), mined()),
        loss(InterSample(sampling="semieasy", pool=0.5), mined()),
        loss(InterSample(sampling="hard", negatives=1), mined()),
        loss(InterSample(sampling="semihard", pool=0.5, margin_form="arc"), mined()),
    ]

    assert found[1] < found[0]
    assert len({round(value, 9) for value in found}) == 4


def test_streams_that_are_not_mined_yet_have_no_term() -> None:
    found = embeddings(None)

    assert InterSample().build(["s"])(found).terms == {}
    assert set(InterSample().build(["s", "t"])(replace(found, mined={"s": mined()})).terms) == {"s"}


def test_reads_the_memory_and_refuses_an_arc_for_many_positives() -> None:
    assert (InterSample().reads, InterSample().needs) == ("memory", {"mined"})
    with pytest.raises(ValueError, match="margin_form: cosine"):
        InterSample(positives="many", margin_form="arc")


def test_monitor_counts_present_anchors_with_a_positive() -> None:
    found = embeddings(mined())
    found.present["s"][0] = False

    assert InterSample().build(["s"]).monitors(found) == {"frac_anchors_with_pos": 2 / 3}
    assert InterSample().build(["s"]).monitors(embeddings(None)) == {}
