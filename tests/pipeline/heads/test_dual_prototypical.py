import math

import pytest
import torch

from pipeline.heads.dual_prototypical import DualPrototypical, class_agnostic, class_specific, episode_losses
from pipeline.heads.spec import Target
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import features_a, supervised
from tests.references import cosine, fixture_a

TAU = 0.1
LABELS = torch.tensor([0, 0, 1, 1, 0, 2])


def dictionary_a() -> tuple[torch.Tensor, torch.Tensor]:
    """{0: [X0, X1], 1: [X2, X3], 2: [X4]}, with an unused slot that must not count."""
    x = features_a()
    return torch.stack([x[0:2], x[2:4], torch.stack([100 * x[5], x[4]])]), torch.tensor([2, 2, 1])


def mean(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(rows).mean(dim=0)


def episode_loop(x: torch.Tensor, labels: list[int], queries: list[int]) -> list[float]:
    """One query at a time."""
    supports = [i for i in range(len(x)) if i not in queries]
    losses = []
    for i in queries:
        own = [x[j] for j in supports if labels[j] == labels[i]]
        if not own:
            continue
        rests = [[x[j] for j in rows if labels[j] != labels[i]] for rows in (supports, queries)]
        positive = math.exp(cosine(x[i], mean(own)) / TAU)
        negatives = sum(math.exp(cosine(x[i], mean(rest)) / TAU) for rest in rests if rest)
        losses.append(-math.log(positive / (positive + negatives)))
    return losses


def test_class_specific_equals_published_value_and_is_0_for_a_class_without_entries() -> None:
    dictionary, filled = dictionary_a()
    anchor = fixture_a()[1][:1]

    loss = class_specific(anchor, torch.tensor([0]), dictionary, filled, temperature=TAU)
    empty = class_specific(anchor, torch.tensor([0]), dictionary, torch.tensor([0, 2, 1]), temperature=TAU)

    assert loss.item() == pytest.approx(2.0009448267377783, abs=1e-6)
    assert empty.tolist() == [0.0]


def test_class_agnostic_equals_published_value() -> None:
    x = features_a()

    loss = class_agnostic(x[1:2], x[0:1], x[None, 2:4], torch.ones(1, 2, dtype=torch.bool), temperature=TAU)
    alone = class_agnostic(x[1:2], x[0:1], x[None, 2:4], torch.zeros(1, 2, dtype=torch.bool), temperature=TAU)

    assert loss.item() == pytest.approx(0.217558638322072, abs=1e-6)
    assert alone.item() == pytest.approx(0, abs=1e-9), "nobody repels it"


@pytest.mark.parametrize("queries", [[0, 2, 4], [1, 3, 5], [0, 1, 4], [5]])
def test_episodes_equal_loop(queries: list[int]) -> None:
    is_query = torch.zeros(6, dtype=torch.bool)
    is_query[queries] = True

    losses = episode_losses(features_a(), LABELS, is_query, num_classes=3, temperature=TAU)

    expected = episode_loop(features_a(), LABELS.tolist(), queries)
    assert losses.tolist() == pytest.approx(expected, abs=1e-9)


def test_the_published_episode_is_one_of_windows() -> None:
    x = features_a()[[1, 3, 0, 2]]
    labels, is_query = torch.tensor([0, 1, 0, 1]), torch.tensor([True, True, False, False])

    losses = episode_losses(x, labels, is_query, num_classes=2, temperature=TAU)

    assert losses[0].item() == pytest.approx(0.217558638322072, abs=1e-6)


def test_terms_of_two_batches_and_what_the_dictionary_keeps() -> None:
    head = DualPrototypical(entries=2, specific=2.0, agnostic=0.5).build(Target(4, 4), class_loss)
    criterion = head.criterion.double()
    x = features_a()
    batch = supervised(torch.zeros(6, 4, dtype=torch.float64), x, labels=LABELS)

    first, second = head.loss(batch).terms, head.loss(batch).terms

    episodes = episode_loop(x, LABELS.tolist(), [0, 2, 4]) + episode_loop(x, LABELS.tolist(), [1, 3, 5])
    for terms in (first, second):
        assert terms["class_agnostic"].item() == pytest.approx(0.5 * sum(episodes) / len(episodes), abs=1e-9)
    assert first["class_specific"].item() == 0.0, "nothing is kept yet"
    kept = torch.stack([x[[1, 4]], x[[2, 3]], torch.stack([torch.zeros(4).double(), x[5]]), torch.zeros(2, 4).double()])
    filled = torch.tensor([2, 2, 1, 0])
    expected = class_specific(x, LABELS, kept, filled, temperature=TAU).mean()
    assert second["class_specific"].item() == pytest.approx(2 * expected.item(), abs=1e-9)
    assert dict(criterion.named_buffers())["filled"].tolist() == [2, 2, 2, 0], "the second batch was kept as well"
    assert dict(criterion.named_buffers())["dictionary"][1].equal(x[[2, 3]])


def test_kept_windows_are_constants() -> None:
    head = DualPrototypical(agnostic=0.0).build(Target(4, 3), class_loss)
    x = features_a().float().requires_grad_()
    logits = torch.zeros(6, 3)
    head.loss(supervised(logits, x, labels=LABELS))
    later = features_a().float()[:1]

    loss = head.loss(supervised(logits[:1], later, labels=LABELS[:1])).terms["class_specific"]

    assert not loss.requires_grad
    assert loss > 0
