from itertools import product

import pytest
import torch
from torch import Tensor

from pipeline.objectives.consistency import Consistency, consistency_loss
from pipeline.objectives.repel import Entries
from pipeline.types import Embeddings
from tests.references import cosine, fixture_a

TAU = 0.5
PRESENT = [True, True, False, True, True, True]
CONTENT = [0, 1, 2, 3, 0, 5]
"""0 and 4 hold the same, so neither repels the other."""


def streams() -> tuple[Tensor, Tensor]:
    """(2, 6, 4) of two streams, each as it is and then augmented."""
    first, second = fixture_a()
    return torch.stack([first, first + 0.3 * second.flip(0)]), torch.stack([second, second - 0.4 * first.flip(1)])


def distance(a: Tensor, b: Tensor, i: int) -> float:
    """NT-Xent of sample i between two sides: the mean of its two anchors."""
    losses = []
    for own, other in ((a, b), (b, a)):
        positive = cosine(own[i], other[i]) / TAU
        candidates = [
            cosine(own[i], side[j]) / TAU
            for j, side in product(range(6), (a, b))
            if PRESENT[j] and CONTENT[j] != CONTENT[i]
        ]
        losses.append(torch.tensor([positive, *candidates]).logsumexp(dim=0).item() - positive)
    return sum(losses) / 2


def loop(margin: float) -> tuple[float, int]:
    """Loss, and how many triplets are as far apart as they should be."""
    (time, changed_time), (frequency, changed_frequency) = streams()
    losses, done = [], 0
    for i in range(6):
        if PRESENT[i]:
            nearer = distance(time, frequency, i)
            gaps = [
                nearer - distance(a, b, i) + margin
                for a, b in ((time, changed_frequency), (changed_time, frequency), (changed_time, changed_frequency))
            ]
            done += sum(gap <= 0 for gap in gaps)
            losses.append(sum(max(0.0, gap) for gap in gaps))
    return sum(losses) / len(losses), done


@pytest.mark.parametrize("margin", [0.0, 0.25, 1.0])
def test_loss_equals_loop_over_triplets(margin: float) -> None:
    first, second = streams()
    entries = Entries(torch.tensor(PRESENT), torch.tensor(CONTENT)[:, None])
    expected, done = loop(margin)

    loss = consistency_loss(first, second, entries=entries, temperature=TAU, margin=margin)

    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert 0 < done < 15


def test_one_term_per_pair_of_streams_with_the_options_of_the_recipe() -> None:
    first, second = streams()
    third = first.flip(2)
    everybody, some = torch.ones(6, dtype=torch.bool), torch.tensor(PRESENT)
    views = {"imu": first, "spectrum": second, "photo": third}
    found = Embeddings(
        torch.arange(6),
        views,
        {"imu": everybody, "spectrum": some, "photo": everybody},
        {"imu": torch.arange(6), "spectrum": torch.tensor(CONTENT), "photo": torch.arange(6)},
        spans=torch.tensor([[1, 0, 10], [1, 5, 15], [2, 0, 9], [3, 0, 9], [4, 0, 9], [5, 0, 9]]),
    )

    terms = Consistency(temperature=TAU, margin=0.5).build(list(views))(found).terms

    def expected(a: str, b: str) -> float:
        content = torch.stack([found.content[a], found.content[b]], dim=1)
        entries = Entries(found.present[a] & found.present[b], content, found.spans)
        return consistency_loss(views[a], views[b], entries=entries, temperature=TAU, margin=0.5).item()

    pairs = [("imu", "spectrum"), ("imu", "photo"), ("spectrum", "photo")]
    assert {name: term.item() for name, term in terms.items()} == {f"{a}-{b}": expected(a, b) for a, b in pairs}


def test_streams_as_they_are_come_together_and_augmented_views_do_not() -> None:
    first, second = (side.clone().requires_grad_() for side in streams())
    entries = Entries(torch.ones(6, dtype=torch.bool), torch.arange(6)[:, None])
    optimizer = torch.optim.Adam([first, second], lr=0.05)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = consistency_loss(first, second, entries=entries, temperature=TAU, margin=0.25)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.01
    cosines = [[torch.cosine_similarity(a, b, dim=1).mean() for b in second] for a in first]
    assert cosines[0][0] > max(cosines[0][1], cosines[1][0], cosines[1][1])
