import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pipeline.objectives.block_spread import class_means
from pipeline.objectives.meta_path_views import MetaPathViews, neighbour_mean, prototype_contrast, view_contrast
from pipeline.objectives.repel import Entries, Repel
from pipeline.types import Embeddings, Links
from tests.references import fixture_a, view_contrast_loop

CLUSTERS = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0], [2, 2], [2, 2]])


def units() -> tuple[torch.Tensor, torch.Tensor]:
    first, second = fixture_a()
    return functional.normalize(first, dim=1), functional.normalize(second, dim=1)


def among(clusters: torch.Tensor) -> Repel:
    entries = Entries(torch.ones(6, dtype=torch.bool), torch.arange(6)[:, None], clusters=clusters)
    return Repel(entries, entries)


def test_contrast_of_views_equals_published_value() -> None:
    losses, kept = view_contrast(*units(), repel=among(CLUSTERS), temperature=0.4)

    assert kept.all()
    assert abs(float(losses.mean()) - 1.33973101) < 1e-6


def test_contrast_with_prototypes_and_total_equal_published_values() -> None:
    coarse, fine = units()
    found = []
    for labels in CLUSTERS.T:
        means, counts = class_means(fine, labels, 3)
        loss = prototype_contrast(
            coarse, functional.normalize(means, dim=1), labels, exists=counts > 0, concentration=0.4
        )
        found.append(loss)
    views, _ = view_contrast(coarse, fine, repel=among(CLUSTERS), temperature=0.4)

    assert abs(float(torch.stack(found).mean()) - 1.58626949) < 1e-6
    assert abs(float(views.mean() + torch.stack(found).mean()) - 2.92600051) < 1e-6


def test_prototypes_are_constants_with_concentrations_of_their_own() -> None:
    coarse, fine = (z.requires_grad_() for z in units())
    labels, phi = torch.tensor([0, 0, 2, 2, -1, 0]), torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64)
    exists = torch.tensor([True, False, True])
    expected = []
    for i in (0, 1, 2, 3, 5):
        scores = {c: float(coarse[i].detach() @ fine[c].detach()) / float(phi[c]) for c in (0, 2)}
        total = 5 / 2 * sum(torch.tensor(score).double().exp() for score in scores.values())
        expected.append(float(torch.as_tensor(total).log()) - scores[int(labels[i])])

    actual = prototype_contrast(coarse, fine[:3], labels, exists=exists, concentration=phi)
    gradients = torch.autograd.grad(actual, (coarse, fine), allow_unused=True)

    assert actual.item() == pytest.approx(sum(expected) / 5, abs=1e-6)
    assert gradients[1] is None
    assert gradients[0] is not None
    assert gradients[0][4].abs().max() == 0


@settings(max_examples=40, deadline=None)
@given(
    clusters=st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=6, max_size=6),
    temperature=st.floats(0.1, 1.0),
)
def test_contrast_of_views_equals_loop_and_rows_nobody_repels_do_not_count(
    clusters: list[list[int]], temperature: float
) -> None:
    coarse, fine = units()
    coarse.requires_grad_()
    expected = view_contrast_loop(coarse.detach(), fine, clusters, temperature)

    losses, kept = view_contrast(coarse, fine, repel=among(torch.tensor(clusters)), temperature=temperature)
    (gradient,) = torch.autograd.grad(losses.sum(), coarse)

    assert kept.tolist() == [loss is not None for loss in expected]
    assert losses.tolist() == pytest.approx([loss or 0.0 for loss in expected], abs=1e-9)
    assert gradient.isfinite().all()


def test_coarse_view_is_the_weighted_mean_of_present_neighbours() -> None:
    weight = torch.zeros(6, 6)
    weight[0, 1], weight[0, 2], weight[1, 3] = 1.0, 3.0, 2.0
    present = torch.tensor([True, True, True, False, True, True])
    _, fine = units()

    coarse, linked = neighbour_mean(fine, Links(weight, weight == 0), present)

    assert linked.tolist() == [True, False, False, False, False, False]
    torch.testing.assert_close(coarse[0], functional.normalize(0.25 * fine[1] + 0.75 * fine[2], dim=0))
    assert coarse.isfinite().all()


def test_linked_samples_do_not_repel_and_prototypes_add_their_term() -> None:
    weight = torch.zeros(6, 6)
    for i in (0, 2, 4):
        weight[i, i + 1] = weight[i + 1, i] = 1.0
    first, second = units()
    found = Embeddings(
        torch.arange(6),
        {"s": torch.stack([first, second])},
        {"s": torch.ones(6, dtype=torch.bool)},
        {"s": torch.arange(6)},
        clusters={"s": CLUSTERS},
        links=Links(weight, ~torch.eye(6, dtype=torch.bool)),
    )
    mates = torch.tensor([1, 0, 3, 2, 5, 4])
    expected = []
    for fine, other in ((first, second), (second, first)):
        for i in range(6):
            scores = [float(other[mates[i]] @ fine[j]) / 0.4 for j in range(6)]
            repelled = sum(
                float((CLUSTERS[i] != CLUSTERS[j]).sum()) * torch.tensor(scores[j]).double().exp()
                for j in range(6)
                if j not in (i, int(mates[i]))
            )
            expected.append(float(torch.as_tensor(repelled).log()) - scores[i])

    plain = MetaPathViews(relation="r").build(["s"])(found).total()
    more = MetaPathViews(relation="r", prototypes=1.0).build(["s"])(found).total()

    assert float(plain) == pytest.approx(sum(expected) / 12, abs=1e-6)
    assert more > plain
    assert MetaPathViews(relation="r").build(["s"]).monitors(found) == {"frac_anchors_with_pos": 1.0}
    found.present["s"][1] = False
    assert MetaPathViews(relation="r").build(["s"]).monitors(found) == {"frac_anchors_with_pos": 4 / 5}
